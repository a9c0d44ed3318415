package org.edgeretrain.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import java.io.File
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** Draws the screens as they are, into target/screenshots; the documentation shows them. */
@Config(qualifiers = "w360dp-h640dp-mdpi")
class ScreenshotTest : AppTest() {

    @Test
    fun `screens by day`() = draw("light")

    @Test
    @Config(qualifiers = "+night")
    fun `screens by night`() = draw("dark")

    @Test
    @Config(qualifiers = "+ru")
    fun `the main screen in Russian, in large type`() {
        RuntimeEnvironment.setFontScale(1.5f)
        main("russian-large")
    }

    @Test
    @Config(qualifiers = "w640dp-h360dp-land-mdpi")
    fun `the main screen lying`() = main("landscape")

    private fun draw(theme: String) {
        main(theme)
        val card = Robolectric.buildActivity(CardActivity::class.java, named("uint8")).setup().get()
        await("the model") { card.view<View>(R.id.button_self_test).isEnabled }
        card.view<View>(R.id.button_self_test).performClick()
        await("the verdict") { card.text(R.id.self_test_result).startsWith("Pass") }
        save(card, "card-$theme")
        val plan = named("uint8").putExtra("start", true).putExtra("min_runs", 20).putExtra("min_seconds", 0.1f)
        val benchmark = Robolectric.buildActivity(BenchmarkActivity::class.java, plan).setup().get()
        await("the result") { benchmark.view<View>(R.id.button_share).isEnabled }
        save(benchmark, "benchmark-$theme")
    }

    private fun main(name: String) {
        push("uint8")
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        val uri = Uri.parse("content://photos/1")
        shadowOf(context.contentResolver).registerInputStream(uri, Fixtures.file(PHOTO).inputStream())
        screen.view<View>(R.id.button_photo).performClick()
        val asked = shadowOf(screen).nextStartedActivityForResult
        shadowOf(screen).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        val scores = screen.view<ViewGroup>(R.id.scores)
        await("scores") { scores.getChildAt(0).visibility == View.VISIBLE }
        save(screen, "main-$name")
    }

    private fun named(model: String) = Intent().putExtra("model", "$model.tflite")

    private fun save(screen: Activity, name: String) {
        val root = screen.window.decorView
        val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        val colors = IntArray(root.width * root.height).also { bitmap.getPixels(it, 0, root.width, 0, 0, root.width, root.height) }
        assertTrue("$name is empty", colors.distinct().size > 50)
        val file = File("target/screenshots/$name.png").apply { parentFile!!.mkdirs() }
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private companion object {
        const val PHOTO = "1.jpg"
    }
}
