package org.edgeretrain.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import kotlin.math.abs
import org.edgeretrain.demo.core.Plane
import org.edgeretrain.demo.core.RgbImage
import org.edgeretrain.demo.core.yuvToRgb

/**
 * The camera, from [open] to [close]; owns the device, its session, the frame reader and their thread.
 *
 * Frames that come while [wanted] says no are dropped. [onFrame] gets upright frames on the camera's thread, [onFailure]
 * is called on any thread when there is no camera or it is lost.
 */
class CameraController(
    context: Context,
    private val wanted: () -> Boolean,
    private val onFrame: (RgbImage) -> Unit,
    private val onFailure: () -> Unit,
) {
    private val manager = context.getSystemService(CameraManager::class.java)!!
    private var thread: HandlerThread? = null
    private var reader: ImageReader? = null
    private var preview: Surface? = null
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null

    val isOpen: Boolean get() = thread != null

    /** Size of the preview frames as the sensor gives them; null while closed. */
    var frameSize: Size? = null
        private set

    /** Show the camera on [texture] and hand out frames. [displayDegrees] is how far the display is turned. */
    @SuppressLint("MissingPermission") // the screen asks for the permission before it opens the camera
    @Synchronized
    fun open(texture: SurfaceTexture, displayDegrees: Int) {
        if (isOpen) return
        try {
            val id = pick() ?: return onFailure()
            val facts = manager.getCameraCharacteristics(id)
            val size = frameSize(facts) ?: return onFailure()
            val handler = Handler(HandlerThread("camera").also { it.start(); thread = it }.looper)
            val turn = turn(facts, displayDegrees)
            reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 2).apply {
                setOnImageAvailableListener({ take(it, turn) }, handler)
            }
            texture.setDefaultBufferSize(size.width, size.height)
            preview = Surface(texture)
            frameSize = size
            manager.openCamera(id, DeviceCallback(handler), handler)
        } catch (_: CameraAccessException) {
            fail()
        } catch (_: SecurityException) { // taken back in the settings
            fail()
        } catch (_: IllegalArgumentException) { // unplugged in between
            fail()
        }
    }

    /** Give the camera back; harmless when it is closed. */
    @Synchronized
    fun close() {
        session?.close()
        device?.close()
        reader?.close()
        preview?.release()
        thread?.quitSafely()
        session = null
        device = null
        reader = null
        preview = null
        thread = null
        frameSize = null
    }

    private fun fail() {
        close()
        onFailure()
    }

    private fun pick(): String? {
        val ids = manager.cameraIdList
        return ids.firstOrNull { facing(it) == CameraCharacteristics.LENS_FACING_BACK } ?: ids.firstOrNull()
    }

    private fun facing(id: String): Int? = manager.getCameraCharacteristics(id)[CameraCharacteristics.LENS_FACING]

    private fun frameSize(facts: CameraCharacteristics): Size? =
        facts[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP]
            ?.getOutputSizes(ImageFormat.YUV_420_888)
            ?.minByOrNull { abs(it.width - WIDTH) + abs(it.height - HEIGHT) }

    private fun turn(facts: CameraCharacteristics, displayDegrees: Int): Int {
        val sensor = facts[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0
        val front = facts[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_FRONT
        return (sensor + (if (front) displayDegrees else 360 - displayDegrees)) % 360
    }

    private fun take(reader: ImageReader, turn: Int) {
        val image = reader.acquireLatestImage() ?: return
        val frame = image.use { if (wanted()) it.toRgb(turn) else null }
        frame?.let(onFrame)
    }

    private fun Image.toRgb(turn: Int): RgbImage {
        val (y, u, v) = planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        return yuvToRgb(width, height, y, u, v, turn)
    }

    private inner class DeviceCallback(private val handler: Handler) : CameraDevice.StateCallback() {

        override fun onOpened(camera: CameraDevice) = synchronized(this@CameraController) {
            val targets = listOfNotNull(preview, reader?.surface)
            if (targets.size < 2) return camera.close() // closed in the meantime
            device = camera
            try {
                @Suppress("DEPRECATION") // its successor needs Android 9
                camera.createCaptureSession(targets, SessionCallback(targets, handler), handler)
            } catch (_: CameraAccessException) {
                fail()
            }
        }

        override fun onDisconnected(camera: CameraDevice) = fail()

        override fun onError(camera: CameraDevice, error: Int) = fail()
    }

    private inner class SessionCallback(private val targets: List<Surface>, private val handler: Handler) :
        CameraCaptureSession.StateCallback() {

        override fun onConfigured(created: CameraCaptureSession) = synchronized(this@CameraController) {
            val camera = device ?: return created.close()
            session = created
            try {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                targets.forEach(request::addTarget)
                request[CaptureRequest.CONTROL_AF_MODE] = CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE
                created.setRepeatingRequest(request.build(), null, handler)
                Unit
            } catch (_: CameraAccessException) {
                fail()
            } catch (_: IllegalStateException) { // the device went away
                fail()
            }
        }

        override fun onConfigureFailed(created: CameraCaptureSession) = fail()
    }

    private companion object {
        const val WIDTH = 640
        const val HEIGHT = 480
    }
}
