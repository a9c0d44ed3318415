package org.edgeretrain.demo

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import java.io.IOException
import org.edgeretrain.demo.core.RgbImage

/** Both sides of a reduced JPEG stay at least this long, in px: the same rule as in training. */
private const val REDUCED_SIDE = 448
private const val MAX_REDUCTION = 8

/** A photo as an upright bitmap, transparency over white. Throws [IOException] when [uri] holds no picture. */
fun decodePhoto(resolver: ContentResolver, uri: Uri): Bitmap = try {
    val data = resolver.openInputStream(uri)?.use { it.readBytes() } ?: throw IOException("$uri gives nothing")
    decodePhoto(data)
} catch (error: SecurityException) { // the gallery takes its permission back when it ends
    throw IOException(error)
}

internal fun decodePhoto(data: ByteArray): Bitmap {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    BitmapFactory.decodeByteArray(data, 0, data.size, bounds)
    val options = BitmapFactory.Options().apply {
        inPreferredConfig = Bitmap.Config.ARGB_8888
        if (bounds.outMimeType == "image/jpeg") inSampleSize = reduction(bounds.outWidth, bounds.outHeight)
    }
    val bitmap = BitmapFactory.decodeByteArray(data, 0, data.size, options) ?: throw IOException("no picture")
    return overWhite(upright(bitmap, data))
}

internal fun reduction(width: Int, height: Int): Int {
    var by = 1
    while (by < MAX_REDUCTION && minOf(width, height) / (2 * by) >= REDUCED_SIDE) by *= 2
    return by
}

private fun upright(bitmap: Bitmap, data: ByteArray): Bitmap {
    val orientation = try {
        ExifInterface(data.inputStream()).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)
    } catch (_: IOException) { // damaged EXIF says nothing about the pixels
        1
    }
    val matrix = Matrix()
    if (orientation in MIRRORED) matrix.postScale(-1f, 1f)
    matrix.postRotate(
        when (orientation) {
            3, 4 -> 180f
            5, 8 -> 270f
            6, 7 -> 90f
            else -> return if (orientation in MIRRORED) bitmap.turned(matrix) else bitmap
        },
    )
    return bitmap.turned(matrix)
}

private val MIRRORED = setOf(2, 4, 5, 7)

private fun Bitmap.turned(matrix: Matrix) = Bitmap.createBitmap(this, 0, 0, width, height, matrix, false)

private fun overWhite(bitmap: Bitmap): Bitmap {
    if (!bitmap.hasAlpha()) return bitmap
    val result = Bitmap.createBitmap(bitmap.width, bitmap.height, Bitmap.Config.ARGB_8888)
    Canvas(result).apply {
        drawColor(Color.WHITE)
        drawBitmap(bitmap, 0f, 0f, null)
    }
    return result
}

/** The pixels of an opaque bitmap. */
fun Bitmap.toRgb(): RgbImage {
    val colors = IntArray(width * height)
    getPixels(colors, 0, width, 0, 0, width, height)
    val pixels = ByteArray(colors.size * 3)
    for ((i, color) in colors.withIndex()) {
        pixels[3 * i] = (color shr 16).toByte()
        pixels[3 * i + 1] = (color shr 8).toByte()
        pixels[3 * i + 2] = color.toByte()
    }
    return RgbImage(width, height, pixels)
}
