package org.edgeretrain.demo

import android.Manifest
import android.content.Intent
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import android.widget.Spinner
import android.widget.TextView
import java.io.File
import org.edgeretrain.demo.core.RgbImage
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config

class MainScreenTest : AppTest() {

    private fun start(intent: Intent = Intent()): ActivityController<MainActivity> =
        Robolectric.buildActivity(MainActivity::class.java, intent).setup()

    private fun MainActivity.labels(): List<String> {
        val rows = view<ViewGroup>(R.id.scores)
        return (0 until rows.childCount).map(rows::getChildAt).filter { it.visibility == View.VISIBLE }
            .map { it.view<TextView>(R.id.score_label).text.toString() }
    }

    private fun pick(activity: MainActivity, file: File) {
        val uri = Uri.fromFile(file)
        shadowOf(context.contentResolver).registerInputStream(uri, file.inputStream())
        activity.view<View>(R.id.button_photo).performClick()
        val asked = shadowOf(activity).nextStartedActivityForResult
        shadowOf(activity).receiveResult(asked.intent, -1, Intent().setData(uri))
    }

    @Test
    fun `without models it says how to get one`() {
        val activity = start().get()
        assertEquals(context.getString(R.string.no_models), activity.text(R.id.message))
        assertFalse(activity.view<View>(R.id.button_card).isEnabled)
        assertEquals(emptyList<String>(), activity.labels())
    }

    @Test
    @Config(qualifiers = "ru")
    fun `it speaks Russian`() {
        assertTrue(start().get().text(R.id.message).startsWith("Моделей пока нет."))
    }

    @Test
    fun `a picked photo is classified as Python does`() {
        push("int8")
        val activity = start().get()
        pick(activity, Fixtures.file("1.jpg"))
        await("scores") { activity.labels().isNotEmpty() }
        val expected = Fixtures.answers.first { it.model == "int8" }
        assertEquals(3, activity.labels().size)
        assertEquals(expected.labels[expected.classes[1]], activity.labels().first())
        assertTrue(activity.isShown(R.id.photo))
        assertEquals(context.getString(R.string.camera), activity.text(R.id.button_photo))
        val spoken = activity.view<ViewGroup>(R.id.scores).getChildAt(0).contentDescription
        assertTrue("$spoken", Regex("${activity.labels()[0]}, \\d+ %").matches(spoken))
    }

    @Test
    fun `a photo and its answer survive a rotation`() {
        push("int8")
        val controller = start()
        pick(controller.get(), Fixtures.file("1.jpg"))
        await("scores") { controller.get().labels().isNotEmpty() }
        val labels = controller.get().labels()
        RuntimeEnvironment.setQualifiers("+land")
        controller.configurationChange()
        assertEquals(labels, controller.get().labels())
        assertTrue(controller.get().isShown(R.id.photo))
    }

    @Test
    fun `another model can be picked and is remembered`() {
        push("int8", "wide")
        val first = start()
        first.get().view<Spinner>(R.id.model_picker).setSelection(1)
        await("the choice") { first.get().getPreferences(0).getString("model", null) == "wide.tflite" }
        first.pause().stop().destroy()
        val again = start().get()
        assertEquals("wide.tflite", again.view<Spinner>(R.id.model_picker).selectedItem)
    }

    @Test
    fun `a model named by adb is used`() {
        push("int8", "uint8", "wide")
        val activity = start(Intent().putExtra("model", "uint8.tflite")).get()
        assertEquals("uint8.tflite", activity.view<Spinner>(R.id.model_picker).selectedItem)
    }

    @Test
    fun `a model pushed anew under its old name is read again`() {
        push("model", Fixtures.bytes("not_image.tflite"))
        val controller = start()
        await("the message") { "found [1, 10]" in controller.get().text(R.id.message) }
        push("model", Fixtures.bytes("int8.tflite"))
        controller.newIntent(Intent().putExtra("model", "model.tflite"))
        await("the model") { controller.get().view<View>(R.id.button_card).isEnabled }
    }

    @Test
    fun `a file opened from another app is kept and used`() {
        val uri = Uri.parse("content://mail/attachment/model.tflite")
        shadowOf(context.contentResolver).registerInputStream(uri, Fixtures.file("wide.tflite").inputStream())
        val activity = start(Intent(Intent.ACTION_VIEW, uri)).get()
        await("the model") { activity.view<Spinner>(R.id.model_picker).selectedItem == "model.tflite" }
        assertTrue(Fixtures.bytes("wide.tflite").contentEquals(File(context.filesDir, "models/model.tflite").readBytes()))
    }

    @Test
    fun `a broken file opened from another app is explained and not kept`() {
        val uri = Uri.parse("content://mail/attachment/model.tflite")
        shadowOf(context.contentResolver).registerInputStream(uri, ByteArray(100).inputStream())
        val activity = start(Intent(Intent.ACTION_VIEW, uri)).get()
        await("the message") { activity.text(R.id.message).contains(context.getString(R.string.fault_not_tflite)) }
        assertFalse(File(context.filesDir, "models/model.tflite").exists())
    }

    @Test
    fun `models that cannot be used are explained and another can be picked`() {
        push("int8", "not_image")
        push("broken", Fixtures.bytes("int8.tflite").copyOf(100_000))
        val activity = start().get() // "broken" comes first
        await("the message") { activity.text(R.id.message).startsWith("broken.tflite cannot be used. It is damaged") }
        assertFalse(activity.view<View>(R.id.button_card).isEnabled)
        val picker = activity.view<Spinner>(R.id.model_picker)
        picker.setSelection(2)
        await("the message") { "found [1, 10]" in activity.text(R.id.message) }
        picker.setSelection(1)
        await("a usable model") { !activity.isShown(R.id.message) || "camera" in activity.text(R.id.message) }
        assertTrue(activity.view<View>(R.id.button_card).isEnabled)
    }

    @Test
    fun `a file that is no picture is explained`() {
        push("int8")
        val activity = start().get()
        pick(activity, Fixtures.file("fixtures.json"))
        await("the message") { activity.text(R.id.message) == context.getString(R.string.bad_photo) }
    }

    @Test
    fun `a refused camera is explained and asked for once`() {
        push("int8")
        val activity = start().get()
        val asked = shadowOf(activity).lastRequestedPermission
        assertEquals(listOf(Manifest.permission.CAMERA), asked.requestedPermissions.toList())
        activity.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, intArrayOf(-1))
        await("the message") { activity.text(R.id.message) == context.getString(R.string.no_permission) }
    }

    @Test
    fun `the other screens are told the model`() {
        push("int8")
        val activity = start().get()
        activity.view<View>(R.id.button_card).performClick()
        val card = shadowOf(activity).nextStartedActivity
        assertEquals("int8.tflite", card.getStringExtra("model"))
        assertEquals(CardActivity::class.java.name, card.component!!.className)
        activity.view<View>(R.id.button_benchmark).performClick()
        assertEquals(BenchmarkActivity::class.java.name, shadowOf(activity).nextStartedActivity.component!!.className)
    }

    @Test
    fun `frames are dropped while one is classified`() {
        push("int8")
        val presenter = LivePresenter(ModelStore(context), LiteRtNetwork)
        var shown = LiveState()
        presenter.attach { shown = it }
        presenter.refresh(null)
        await("the model") { !shown.loading && shown.selected != null }
        assertTrue(presenter.wantsFrame())
        assertFalse(presenter.wantsFrame())
        presenter.frame(RgbImage(64, 48, ByteArray(64 * 48 * 3)))
        await("scores") { shown.scores.size == 3 }
        await("the gate") { presenter.wantsFrame() }
        presenter.close()
    }
}
