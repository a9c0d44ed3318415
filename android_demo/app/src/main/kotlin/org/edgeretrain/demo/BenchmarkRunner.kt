package org.edgeretrain.demo

import android.content.Context
import android.os.Build
import android.os.Handler
import android.os.Looper
import android.os.PowerManager
import java.io.File
import org.edgeretrain.demo.core.Benchmark
import org.edgeretrain.demo.core.BenchmarkPlan
import org.edgeretrain.demo.core.BenchmarkResult
import org.edgeretrain.demo.core.Device
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.ThreadTiming

/** What the benchmark screen shows. [json] is there when the run is complete. */
data class BenchmarkState(
    val running: Boolean = false,
    val timings: List<ThreadTiming> = emptyList(),
    val json: String? = null,
    val error: ModelException? = null,
)

/** Runs the benchmark of one model on a thread of its own; survives rotation. Used on the main thread. */
class BenchmarkRunner(private val context: Context, private val name: String, private val plan: BenchmarkPlan) {

    private val main = Handler(Looper.getMainLooper())
    private var thread: Thread? = null
    private var screen: ((BenchmarkState) -> Unit)? = null

    var state = BenchmarkState()
        private set

    fun attach(screen: (BenchmarkState) -> Unit) {
        this.screen = screen
        screen(state)
    }

    fun detach() {
        screen = null
    }

    /** Measure with 1, 2 and 4 threads; [run] is written into the result so that its asker knows it again. */
    fun start(run: String?) {
        if (state.running) return
        update { BenchmarkState(running = true) }
        thread = Thread({ measure(run) }, "benchmark").apply { start() }
    }

    fun stop() {
        thread?.interrupt()
        thread = null
    }

    private fun measure(run: String?) = try {
        val model = ModelStore(context).load(name)
        val benchmark = Benchmark(LiteRtNetwork, plan, thermal = ::thermalState)
        val timings = THREADS.map { threads ->
            benchmark.run(model, threads).also { timing -> deliver { it.copy(timings = it.timings + timing) } }
        }
        val json = BenchmarkResult(model, thisDevice(), timings, run).toJson()
        keep(json)
        deliver { it.copy(running = false, json = json) }
    } catch (error: ModelException) {
        keep(BenchmarkResult.failure(run, error))
        deliver { it.copy(running = false, error = error) }
    } catch (_: InterruptedException) {
        deliver { it.copy(running = false) }
    }

    /** Leave the result where `adb` can read it, whole or not at all. */
    private fun keep(json: String) {
        val folder = context.getExternalFilesDir(null) ?: return
        val aside = File(folder, "$RESULT_FILE.partial")
        aside.writeText(json)
        aside.renameTo(File(folder, RESULT_FILE))
    }

    private fun thermalState(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return "unknown"
        val power = context.getSystemService(PowerManager::class.java)!!
        return THERMAL.getOrElse(power.currentThermalStatus) { "unknown" }
    }

    private fun thisDevice() =
        Device("${Build.MANUFACTURER} ${Build.MODEL}", Build.VERSION.RELEASE, Build.SUPPORTED_ABIS.first())

    private fun deliver(change: (BenchmarkState) -> BenchmarkState) {
        main.post { update(change) }
    }

    private fun update(change: (BenchmarkState) -> BenchmarkState) {
        state = change(state)
        screen?.invoke(state)
    }

    companion object {
        const val RESULT_FILE = "benchmark.json"
        private val THREADS = listOf(1, 2, 4)

        /** In the order of PowerManager.THERMAL_STATUS_*. */
        private val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
