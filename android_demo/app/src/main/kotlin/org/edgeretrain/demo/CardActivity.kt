package org.edgeretrain.demo

import android.app.Activity
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.util.concurrent.Executors
import org.edgeretrain.demo.core.Classifier
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.ModelFile
import org.edgeretrain.demo.core.SelfTestResult
import org.edgeretrain.demo.core.TensorSpec
import org.edgeretrain.demo.core.selfTest

/** The model card: what a model says about itself, and the self-test. */
class CardActivity : Activity() {

    private val worker = Executors.newSingleThreadExecutor()
    private val main = Handler(Looper.getMainLooper())
    private lateinit var verdict: TextView
    private lateinit var button: Button

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.activity_card)
        actionBar?.setDisplayHomeAsUpEnabled(true)
        verdict = view(R.id.self_test_result)
        button = view(R.id.button_self_test)
        button.isEnabled = false
        val name = intent.getStringExtra(MainActivity.EXTRA_MODEL).orEmpty()
        title = name
        inBackground { ModelStore(applicationContext).load(name).let { model -> { show(model) } } }
    }

    override fun onNavigateUp(): Boolean {
        finish()
        return true
    }

    override fun onDestroy() {
        main.removeCallbacksAndMessages(null)
        worker.shutdown()
        super.onDestroy()
    }

    private fun show(model: ModelFile) {
        val facts = view<ViewGroup>(R.id.facts)
        for ((name, value) in facts(model)) {
            val row = LayoutInflater.from(this).inflate(R.layout.row_fact, facts, false)
            row.view<TextView>(R.id.fact_name).setText(name)
            row.view<TextView>(R.id.fact_value).text = value
            facts.addView(row)
        }
        if (model.contract == null) return
        button.isEnabled = true
        button.setOnClickListener { runSelfTest(model) }
    }

    private fun facts(model: ModelFile): List<Pair<Int, String>> = buildList {
        add(R.string.fact_size to getString(R.string.bytes, model.sizeBytes))
        add(R.string.fact_input to describe(model.input))
        add(R.string.fact_output to describe(model.output))
        val contract = model.contract
        if (contract == null) {
            add(R.string.fact_contract to getString(R.string.foreign))
        } else {
            add(R.string.fact_model to "${contract.model}, ${contract.scheme}")
            contract.accuracy?.let {
                add(
                    R.string.fact_accuracy to
                        getString(R.string.accuracy, 100 * it.top1, 100 * it.low, 100 * it.high, it.n),
                )
            }
            add(R.string.fact_photos to contract.photos.entries.joinToString { (part, n) -> "$n $part" })
            add(R.string.fact_module to contract.module)
            add(R.string.fact_pixels to contract.preprocessing)
        }
        add(R.string.fact_classes to "${model.labels.size}\n" + model.labels.take(MANY).joinToString("\n"))
    }

    private fun describe(tensor: TensorSpec): String =
        if (tensor.scale == 0f) "$tensor" else getString(R.string.quantized, "$tensor", tensor.scale, tensor.zeroPoint)

    private fun runSelfTest(model: ModelFile) {
        button.isEnabled = false
        verdict.setText(R.string.self_test_running)
        inBackground {
            val result = Classifier(model, LiteRtNetwork).use(::selfTest);
            {
                button.isEnabled = true
                verdict.text = sentence(result)
            }
        }
    }

    private fun sentence(result: SelfTestResult): String = when {
        !result.passed ->
            getString(R.string.self_test_failed, result.differing.joinToString(), result.count, 100 * result.apart)
        result.exact -> getString(R.string.self_test_passed, result.count, result.kernels)
        else -> getString(R.string.self_test_close, result.count, result.kernels)
    }

    /** Run [task] off the main thread, then what it returns on it; a broken model is explained instead. */
    private fun inBackground(task: () -> () -> Unit) = worker.execute {
        val show = try {
            task()
        } catch (error: ModelException) {
            {
                verdict.text = error.sentence(this)
                verdict.visibility = View.VISIBLE
            }
        }
        main.post(show)
    }

    private companion object {
        /** More classes than anybody reads. */
        const val MANY = 200
    }
}
