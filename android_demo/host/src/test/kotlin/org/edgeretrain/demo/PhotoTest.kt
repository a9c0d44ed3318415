package org.edgeretrain.demo

import android.graphics.Bitmap
import android.graphics.Color
import java.io.ByteArrayOutputStream
import java.io.IOException
import kotlin.math.abs
import org.edgeretrain.demo.core.squeeze
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class PhotoTest : AppTest() {

    @Test
    fun `decoded photos have Python's pixels, upright and as much reduced`() {
        val photos = Fixtures.sources.filter { it.jpeg != null }
        assertEquals(21, photos.size)
        for (photo in photos) {
            val decoded = decodePhoto(photo.jpeg!!).toRgb()
            assertEquals(photo.name, photo.image.width to photo.image.height, decoded.width to decoded.height)
            val expected = squeeze(photo.image, 128).pixels
            val found = squeeze(decoded, 128).pixels
            val apart = expected.indices.maxOf { abs((expected[it].toInt() and 0xFF) - (found[it].toInt() and 0xFF)) }
            assertTrue("${photo.name}: $apart", apart <= 1)
        }
    }

    @Test
    fun `reduced sides stay long enough`() {
        assertEquals(1, reduction(895, 2000))
        assertEquals(2, reduction(896, 2000))
        assertEquals(4, reduction(4000, 3000))
        assertEquals(8, reduction(30_000, 20_000))
    }

    @Test
    fun `transparency is shown over white`() {
        val bitmap = Bitmap.createBitmap(2, 1, Bitmap.Config.ARGB_8888)
        bitmap.setPixel(0, 0, Color.TRANSPARENT)
        bitmap.setPixel(1, 0, Color.RED)
        val png = ByteArrayOutputStream().also { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }.toByteArray()
        assertEquals(listOf(-1, -1, -1, -1, 0, 0), decodePhoto(png).toRgb().pixels.map { it.toInt() })
    }

    @Test
    fun `what is no picture is refused`() {
        val error = assertThrows(IOException::class.java) { decodePhoto("not a picture".toByteArray()) }
        assertEquals("no picture", error.message)
    }

    @Test
    fun `file names of other apps become plain ones`() {
        assertEquals("model.tflite", ModelStore.safeName("model.tflite"))
        assertEquals("passwd.tflite", ModelStore.safeName("../../etc/passwd"))
        assertEquals("цветы_2_.tflite", ModelStore.safeName("цветы(2).tflite"))
        assertEquals("model.tflite", ModelStore.safeName("..tflite"))
        assertEquals("model.tflite", ModelStore.safeName(""))
    }
}
