package org.edgeretrain.demo.core

import java.nio.ByteBuffer

/** One plane of a YUV 4:2:0 camera frame. */
class Plane(val data: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
    fun at(x: Int, y: Int): Int = data.get(y * rowStride + x * pixelStride).toInt() and 0xFF
}

/**
 * A camera frame as RGB, turned clockwise by [degrees] (0, 90, 180, 270).
 *
 * Full-range BT.601, as in JPEG, in 16-bit fixed point.
 */
fun yuvToRgb(width: Int, height: Int, y: Plane, u: Plane, v: Plane, degrees: Int): RgbImage {
    val sideways = degrees % 180 != 0
    val outWidth = if (sideways) height else width
    val outHeight = if (sideways) width else height
    val pixels = ByteArray(width * height * 3)
    for (row in 0 until height) {
        for (column in 0 until width) {
            val luma = (y.at(column, row) shl 16) + (1 shl 15)
            val blue = u.at(column / 2, row / 2) - 128
            val red = v.at(column / 2, row / 2) - 128
            val target = when (degrees) {
                0 -> row * outWidth + column
                90 -> column * outWidth + (outWidth - 1 - row)
                180 -> (outHeight - 1 - row) * outWidth + (outWidth - 1 - column)
                270 -> (outHeight - 1 - column) * outWidth + row
                else -> throw IllegalArgumentException("$degrees degrees")
            } * 3
            pixels[target] = channel(luma + 91881 * red)
            pixels[target + 1] = channel(luma - 22554 * blue - 46802 * red)
            pixels[target + 2] = channel(luma + 116130 * blue)
        }
    }
    return RgbImage(outWidth, outHeight, pixels)
}

private fun channel(value: Int): Byte = (value shr 16).coerceIn(0, 255).toByte()
