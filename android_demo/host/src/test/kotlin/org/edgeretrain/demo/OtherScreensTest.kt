package org.edgeretrain.demo

import android.app.Activity
import android.content.Intent
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import java.io.File
import org.edgeretrain.demo.core.Json
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf

class OtherScreensTest : AppTest() {

    private fun intent(model: String) = Intent().putExtra("model", "$model.tflite")

    private fun card(model: String): CardActivity {
        push(model)
        return Robolectric.buildActivity(CardActivity::class.java, intent(model)).setup().get()
    }

    private fun Activity.facts(): Map<String, String> {
        val rows = view<ViewGroup>(R.id.facts)
        return (0 until rows.childCount).map(rows::getChildAt)
            .associate { row ->
                row.view<TextView>(R.id.fact_name).text.toString() to row.view<TextView>(R.id.fact_value).text.toString()
            }
    }

    private fun measure(model: String): Intent =
        intent(model).putExtra("start", true).putExtra("run", "7").putExtra("warmup_runs", 1)
            .putExtra("min_runs", 3).putExtra("min_seconds", 0.01f)

    @Test
    fun `the card tells what the model says about itself`() {
        val screen = card("int8")
        await("facts") { screen.facts().isNotEmpty() }
        val facts = screen.facts()
        assertEquals("uint8 [1, 128, 128, 3], scale 0.007813, zero point 128", facts["Input"])
        assertEquals("mobilenet_v1_025_128, int8", facts["Network"])
        assertTrue(facts["Accuracy on test photos"]!!.contains("95 % interval"))
        val labels = Fixtures.answers.first { it.model == "int8" }.labels
        assertEquals("${labels.size}\n${labels.joinToString("\n")}", facts["Classes"])
    }

    @Test
    fun `the self-test passes for the uint8 scheme, whose bytes are the same in every version`() {
        val screen = card("uint8")
        await("the model") { screen.view<View>(R.id.button_self_test).isEnabled }
        screen.view<View>(R.id.button_self_test).performClick()
        await("the verdict") { screen.text(R.id.self_test_result).startsWith("Pass: 3 of 3") }
    }

    @Test
    fun `the self-test says which vectors differ`() {
        push("int8")
        val file = File(context.getExternalFilesDir(ModelStore.FOLDER), "int8.tflite")
        val text = String(file.readBytes(), Charsets.ISO_8859_1)
        val seed = Regex("\"seed\":(\\d+),\"xnnpack\"").findAll(text).map { it.groupValues[1] }.toList()
        val screen = Robolectric.buildActivity(CardActivity::class.java, intent("int8")).setup().get()
        await("the model") { screen.view<View>(R.id.button_self_test).isEnabled }
        screen.view<View>(R.id.button_self_test).performClick()
        val running = context.getString(R.string.self_test_running)
        await("the verdict") { screen.text(R.id.self_test_result).let { it.isNotEmpty() && it != running } }
        // This runtime is older than the computer's: its int8 kernels round otherwise
        val verdict = screen.text(R.id.self_test_result)
        assertTrue(verdict, verdict.startsWith("Differs: golden vectors with seed ") && seed.any { it in verdict })
    }

    @Test
    fun `a foreign model has a card but no self-test`() {
        val screen = card("foreign")
        await("facts") { screen.facts().isNotEmpty() }
        assertTrue(screen.facts()["Contract"]!!.startsWith("none"))
        assertFalse(screen.view<View>(R.id.button_self_test).isEnabled)
    }

    @Test
    fun `the card of a broken model explains it`() {
        push("broken", ByteArray(99))
        val screen = Robolectric.buildActivity(CardActivity::class.java, intent("broken")).setup().get()
        await("the message") { screen.text(R.id.self_test_result) == context.getString(R.string.fault_not_tflite) }
    }

    @Test
    fun `the benchmark measures 1, 2 and 4 threads, leaves its result for adb and shares it`() {
        push("int8")
        val screen = Robolectric.buildActivity(BenchmarkActivity::class.java, measure("int8")).setup().get()
        await("the result") { screen.view<View>(R.id.button_share).isEnabled }
        assertEquals(3, screen.view<ViewGroup>(R.id.timings).childCount)
        val json = File(context.getExternalFilesDir(null), BenchmarkRunner.RESULT_FILE).readText()
        val document = Json.parse(json) as Map<*, *>
        assertEquals("7", document["run"])
        val timings = (document["timings"] as List<*>).map { it as Map<*, *> }
        assertEquals(listOf(1L, 2L, 4L), timings.map { it["threads"] })
        assertTrue(timings.all { it["runs"] as Long >= 3 && it["thermal_after"] == "none" })
        screen.view<View>(R.id.button_share).performClick()
        val chooser = shadowOf(screen).nextStartedActivity
        @Suppress("DEPRECATION") // its successor needs Android 13
        val sent = chooser.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)!!
        assertEquals(json, sent.getStringExtra(Intent.EXTRA_TEXT))
    }

    @Test
    fun `a benchmark survives a rotation and stops with its screen`() {
        push("int8")
        val long = measure("int8").putExtra("min_seconds", 60f)
        val controller = Robolectric.buildActivity(BenchmarkActivity::class.java, long).setup()
        controller.recreate()
        assertEquals(context.getString(R.string.stop), controller.get().text(R.id.button_start))
        controller.pause().stop().destroy()
        await("the thread to end") { Thread.getAllStackTraces().keys.none { it.name == "benchmark" } }
    }

    @Test
    fun `the benchmark of a broken model explains it`() {
        push("not_image")
        val screen = Robolectric.buildActivity(BenchmarkActivity::class.java, measure("not_image")).setup().get()
        await("the message") { "found [1, 10]" in screen.text(R.id.benchmark_error) }
        assertFalse(screen.view<View>(R.id.button_share).isEnabled)
        val json = File(context.getExternalFilesDir(null), BenchmarkRunner.RESULT_FILE).readText()
        assertEquals("NOT_IMAGE [1, 10]", (Json.parse(json) as Map<*, *>)["error"])
    }

    @Test
    fun `adb can ask for another benchmark while the screen is there`() {
        push("int8", "wide")
        val controller = Robolectric.buildActivity(BenchmarkActivity::class.java, measure("int8")).setup()
        controller.newIntent(measure("wide").putExtra("run", "8"))
        val file = File(context.getExternalFilesDir(null), BenchmarkRunner.RESULT_FILE)
        await("the result") { file.exists() && (Json.parse(file.readText()) as Map<*, *>)["run"] == "8" }
        assertEquals("wide.tflite", controller.get().title)
    }
}
