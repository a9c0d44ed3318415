package org.edgeretrain.demo

import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import java.io.ByteArrayOutputStream
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
        val card = Robolectric.buildActivity(CardActivity::class.java, named()).setup().get()
        await("the model") { card.view<View>(R.id.button_self_test).isEnabled }
        card.view<View>(R.id.button_self_test).performClick()
        await("the verdict") { card.text(R.id.self_test_result).startsWith("Pass") }
        save(card, "card-$theme")
        val plan = named().putExtra("start", true).putExtra("min_runs", 20).putExtra("min_seconds", 0.1f)
        val benchmark = Robolectric.buildActivity(BenchmarkActivity::class.java, plan).setup().get()
        await("the result") { benchmark.view<View>(R.id.button_share).isEnabled }
        save(benchmark, "benchmark-$theme")
    }

    private fun main(name: String) {
        push(MODEL, Fixtures.bytes("uint8.tflite"))
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup().get()
        val uri = Uri.parse("content://photos/1")
        shadowOf(context.contentResolver).registerInputStream(uri, drawnFlower().inputStream())
        screen.view<View>(R.id.button_photo).performClick()
        val asked = shadowOf(screen).nextStartedActivityForResult
        shadowOf(screen).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        val scores = screen.view<ViewGroup>(R.id.scores)
        await("scores") { scores.getChildAt(0).visibility == View.VISIBLE }
        save(screen, "main-$name")
    }

    private fun named() = Intent().putExtra("model", "$MODEL.tflite")

    /** A picture of our own, as a PNG. */
    private fun drawnFlower(): ByteArray {
        val bitmap = Bitmap.createBitmap(480, 640, Bitmap.Config.ARGB_8888)
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        Canvas(bitmap).apply {
            drawColor(Color.rgb(46, 92, 40))
            paint.color = Color.rgb(70, 130, 60)
            drawRect(230f, 320f, 250f, 640f, paint)
            paint.color = Color.rgb(245, 245, 240)
            repeat(16) {
                rotate(22.5f, 240f, 320f)
                drawOval(215f, 120f, 265f, 300f, paint)
            }
            paint.color = Color.rgb(235, 180, 30)
            drawCircle(240f, 320f, 60f, paint)
        }
        return ByteArrayOutputStream().also { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }.toByteArray()
    }

    private fun save(screen: Activity, name: String) {
        val root = screen.window.decorView
        val bitmap = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
        root.draw(Canvas(bitmap))
        val colors = IntArray(root.width * root.height)
        bitmap.getPixels(colors, 0, root.width, 0, 0, root.width, root.height)
        assertTrue("$name is empty", colors.distinct().size > 50)
        val file = File("target/screenshots/$name.png").apply { parentFile!!.mkdirs() }
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private companion object {
        const val MODEL = "flowers"
    }
}
