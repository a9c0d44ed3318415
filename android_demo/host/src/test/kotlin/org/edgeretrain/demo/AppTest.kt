package org.edgeretrain.demo

import android.app.Activity
import android.os.Looper
import android.view.View
import android.widget.TextView
import java.io.File
import org.junit.Assert.assertTrue
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.internal.bytecode.InstrumentationConfiguration
import org.junit.runners.model.FrameworkMethod

/** Robolectric with TensorFlow Lite's own classes, since native code can be loaded once only. */
class AppTestRunner(type: Class<*>) : RobolectricTestRunner(type) {
    override fun createClassLoaderConfig(method: FrameworkMethod): InstrumentationConfiguration =
        InstrumentationConfiguration.Builder(super.createClassLoaderConfig(method))
            .doNotAcquirePackage("org.tensorflow.")
            .build()
}

/** What tests of screens share. */
@RunWith(AppTestRunner::class)
abstract class AppTest {

    protected val context get() = RuntimeEnvironment.getApplication()!!

    /** Put the fixture [name] where `edgeretrain deploy --adb` puts models. */
    protected fun push(vararg names: String) {
        for (name in names) push(name, Fixtures.bytes("$name.tflite"))
    }

    protected fun push(name: String, data: ByteArray) =
        File(context.getExternalFilesDir(ModelStore.FOLDER)!!, "$name.tflite").writeBytes(data)

    /** Let background threads and the main thread go on until [condition] holds. */
    protected fun await(what: String, condition: () -> Boolean) {
        val end = System.nanoTime() + 20_000_000_000
        while (!condition()) {
            assertTrue("waited in vain for $what", System.nanoTime() < end)
            Thread.sleep(5)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    protected fun Activity.text(id: Int): String = view<TextView>(id).text.toString()

    protected fun Activity.isShown(id: Int): Boolean = view<View>(id).visibility == View.VISIBLE
}
