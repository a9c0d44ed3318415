package org.edgeretrain.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import org.edgeretrain.demo.core.BenchmarkPlan
import org.edgeretrain.demo.core.ThreadTiming

/** The benchmark screen. `edgeretrain` starts it by intent and reads the result file. */
class BenchmarkActivity : Activity() {

    private lateinit var runner: BenchmarkRunner

    @Suppress("DEPRECATION") // what keeps the runner through a rotation
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.activity_benchmark)
        actionBar?.setDisplayHomeAsUpEnabled(true)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON) // a dark phone slows its cores down
        val kept = lastNonConfigurationInstance as BenchmarkRunner?
        runner = kept ?: newRunner()
        title = intent.getStringExtra(MainActivity.EXTRA_MODEL)
        view<Button>(R.id.button_start).setOnClickListener {
            if (runner.state.running) runner.stop() else runner.start(null)
        }
        view<Button>(R.id.button_share).setOnClickListener { share() }
        runner.attach(::render)
        if (kept == null) startIfAsked()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        setIntent(intent)
        runner.detach()
        runner.stop()
        runner = newRunner()
        title = intent.getStringExtra(MainActivity.EXTRA_MODEL)
        runner.attach(::render)
        startIfAsked()
    }

    override fun onNavigateUp(): Boolean {
        finish()
        return true
    }

    override fun onDestroy() {
        runner.detach()
        if (!isChangingConfigurations) runner.stop()
        super.onDestroy()
    }

    @Deprecated("the platform's way without a library")
    override fun onRetainNonConfigurationInstance(): Any = runner

    private fun startIfAsked() {
        if (intent.getBooleanExtra(EXTRA_START, false)) runner.start(intent.getStringExtra(EXTRA_RUN))
    }

    private fun newRunner(): BenchmarkRunner {
        val usual = BenchmarkPlan()
        val plan = BenchmarkPlan(
            warmupRuns = intent.getIntExtra(EXTRA_WARMUP_RUNS, usual.warmupRuns),
            minRuns = intent.getIntExtra(EXTRA_MIN_RUNS, usual.minRuns),
            minSeconds = intent.getFloatExtra(EXTRA_MIN_SECONDS, usual.minSeconds.toFloat()).toDouble(),
        )
        return BenchmarkRunner(applicationContext, intent.getStringExtra(MainActivity.EXTRA_MODEL).orEmpty(), plan)
    }

    private fun render(state: BenchmarkState) {
        view<Button>(R.id.button_start).setText(if (state.running) R.string.stop else R.string.start)
        view<View>(R.id.button_share).isEnabled = state.json != null
        view<View>(R.id.progress).visibility = if (state.running) View.VISIBLE else View.INVISIBLE
        view<TextView>(R.id.benchmark_error).text = state.error?.sentence(this).orEmpty()
        val table = view<ViewGroup>(R.id.timings)
        table.removeAllViews()
        state.timings.forEach { table.addView(row(table, it)) }
    }

    private fun row(table: ViewGroup, timing: ThreadTiming): View =
        LayoutInflater.from(this).inflate(R.layout.row_timing, table, false).apply {
            view<TextView>(R.id.timing_threads).text =
                resources.getQuantityString(R.plurals.threads, timing.threads, timing.threads, timing.runs)
            val preprocess = timing.preprocess
            view<TextView>(R.id.timing_preprocess).text =
                getString(R.string.timing_preprocess, preprocess.p50, preprocess.p90, preprocess.p99)
            val inference = timing.inference
            view<TextView>(R.id.timing_inference).text =
                getString(R.string.timing_inference, inference.p50, inference.p90, inference.p99)
            view<TextView>(R.id.timing_thermal).text =
                getString(R.string.timing_thermal, timing.thermal.first, timing.thermal.second)
        }

    private fun share() {
        val send = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_TEXT, runner.state.json)
        startActivity(Intent.createChooser(send, getString(R.string.share)))
    }

    companion object {
        const val EXTRA_START = "start"
        const val EXTRA_RUN = "run"
        const val EXTRA_WARMUP_RUNS = "warmup_runs"
        const val EXTRA_MIN_RUNS = "min_runs"
        const val EXTRA_MIN_SECONDS = "min_seconds"
    }
}
