package org.edgeretrain.demo

import android.Manifest
import android.app.Application
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.Rect
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.util.Size
import android.view.TextureView
import java.util.concurrent.atomic.AtomicInteger
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

class CameraTest : AppTest() {

    private fun addCamera() {
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        shadowOf(facts).set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK)
        shadowOf(facts).set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
        val sizes = StreamConfigurationMapBuilder.newBuilder()
            .addOutputSize(ImageFormat.YUV_420_888, Size(4000, 3000))
            .addOutputSize(ImageFormat.YUV_420_888, Size(640, 480))
            .build()
        shadowOf(facts).set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, sizes)
        shadowOf(manager).addCamera("0", facts)
    }

    private val manager get() = context.getSystemService(Context.CAMERA_SERVICE) as CameraManager

    private fun allow() = shadowOf(context as Application).grantPermissions(Manifest.permission.CAMERA)

    private val failures = AtomicInteger()

    private fun controller() = CameraController(context, { true }, {}, { failures.incrementAndGet() })

    @Test
    fun `the camera takes the size next to 640 x 480 and is given back`() {
        allow()
        addCamera()
        val camera = controller()
        camera.open(SurfaceTexture(0), 0)
        assertTrue(camera.isOpen)
        assertEquals(Size(640, 480), camera.frameSize)
        camera.close()
        assertFalse(camera.isOpen)
        assertNull(camera.frameSize)
        assertEquals(0, failures.get())
        camera.close() // harmless
    }

    @Test
    fun `a device without a camera is a failure, not a crash`() {
        controller().open(SurfaceTexture(0), 0)
        assertEquals(1, failures.get())
    }

    @Test
    fun `the screen opens the camera when it is seen and gives it back on pause`() {
        allow()
        addCamera()
        push("int8")
        val screen = Robolectric.buildActivity(MainActivity::class.java).setup()
        val texture = SurfaceTexture(0)
        val view = screen.get().view<TextureView>(R.id.preview)
        view.setSurfaceTexture(texture)
        screen.get().onSurfaceTextureAvailable(texture, 640, 480)
        assertTrue(screen.get().usesCamera)
        screen.pause()
        assertFalse(screen.get().usesCamera)
        screen.resume()
        assertTrue(screen.get().usesCamera)
        screen.pause().stop().destroy()
        assertFalse(screen.get().usesCamera)
        await("threads to end") { Thread.getAllStackTraces().keys.none { it.name == "camera" && it.isAlive } }
    }

    @Test
    fun `the whole frame is shown upright however the display is turned`() {
        val frame = Size(640, 480)
        fun shown(width: Int, height: Int, degrees: Int): Rect =
            RectF(0f, 0f, width.toFloat(), height.toFloat())
                .also { previewTransform(width, height, frame, degrees).mapRect(it) }
                .let { Rect().apply { it.round(this) } }

        // Upright: 3:4 within 480 x 800, turned: 4:3 within 800 x 480
        assertEquals(Rect(0, 80, 480, 720), shown(480, 800, 0))
        assertEquals(Rect(80, 0, 720, 480), shown(800, 480, 90))
        assertEquals(Rect(80, 0, 720, 480), shown(800, 480, 270))
    }
}
