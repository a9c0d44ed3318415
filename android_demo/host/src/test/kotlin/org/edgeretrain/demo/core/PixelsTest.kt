package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.edgeretrain.demo.Fixtures
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class PixelsTest {

    @Test
    fun `squeezed pixels are Pillow's`() {
        assertEquals(29, Fixtures.sources.size)
        for (source in Fixtures.sources) {
            assertArrayEquals(source.name, Fixtures.bytes("${source.name}_128.rgb"), squeeze(source.image, 128).pixels)
        }
    }

    @Test
    fun `golden pictures are Python's`() {
        for ((seed, res) in Fixtures.golden) {
            val expected = Fixtures.bytes("golden_${seed.toUInt()}_$res.rgb")
            assertArrayEquals("$seed at $res", expected, goldenPicture(seed, res).pixels)
        }
    }

    @Test
    fun `input takes pixels as uint8, int8 and float32`() {
        val image = RgbImage(1, 1, byteArrayOf(0, 127, -1))
        fun filled(dtype: Dtype) = ByteBuffer.allocate(3 * dtype.size).order(ByteOrder.nativeOrder())
            .also { fillInput(it, image, dtype, Normalization(128f, 64f)) }

        assertArrayEquals(byteArrayOf(0, 127, -1), filled(Dtype.UINT8).array())
        assertArrayEquals(byteArrayOf(-128, -1, 127), filled(Dtype.INT8).array())
        val floats = filled(Dtype.FLOAT32).asFloatBuffer()
        assertEquals(listOf(-2f, -1 / 64f, 127 / 64f), List(3, floats::get))
    }

    @Test
    fun `a picture with too few pixels is refused`() {
        val error = assertThrows(IllegalArgumentException::class.java) { RgbImage(2, 2, ByteArray(3)) }
        assertEquals("2 x 2 needs 12 bytes", error.message)
    }

    @Test
    fun `camera frames turn with the sensor`() {
        // Luma only, 4 x 2:  10 20 30 40
        //                    50 60 70 80
        fun plane(vararg values: Int) = Plane(ByteBuffer.wrap(ByteArray(values.size) { values[it].toByte() }), 4, 1)
        val luma = plane(10, 20, 30, 40, 50, 60, 70, 80)
        val chroma = plane(128, 128, 128, 128)
        fun turned(degrees: Int): Pair<Int, List<Int>> {
            val image = yuvToRgb(4, 2, luma, chroma, chroma, degrees)
            return image.width to image.pixels.filterIndexed { i, _ -> i % 3 == 0 }.map { it.toInt() and 0xFF }
        }
        assertEquals(4 to listOf(10, 20, 30, 40, 50, 60, 70, 80), turned(0))
        assertEquals(2 to listOf(50, 10, 60, 20, 70, 30, 80, 40), turned(90))
        assertEquals(4 to listOf(80, 70, 60, 50, 40, 30, 20, 10), turned(180))
        assertEquals(2 to listOf(40, 80, 30, 70, 20, 60, 10, 50), turned(270))
        val error = assertThrows(IllegalArgumentException::class.java) { turned(45) }
        assertEquals("45 degrees", error.message)
    }

    @Test
    fun `camera colours are those of JPEG's BT 601`() {
        fun color(y: Int, u: Int, v: Int): List<Int> {
            val (a, b, c) = listOf(y, u, v).map { Plane(ByteBuffer.wrap(byteArrayOf(it.toByte())), 1, 1) }
            return yuvToRgb(1, 1, a, b, c, 0).pixels.map { it.toInt() and 0xFF }
        }
        assertEquals(listOf(254, 0, 0), color(76, 85, 255))
        assertEquals(listOf(0, 0, 254), color(29, 255, 107))
        assertEquals(listOf(255, 255, 255), color(255, 128, 128))
    }
}
