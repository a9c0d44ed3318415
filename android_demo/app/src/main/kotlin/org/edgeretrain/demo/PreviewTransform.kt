package org.edgeretrain.demo

import android.graphics.Matrix
import android.graphics.RectF
import android.util.Size

/**
 * How a TextureView of [width] x [height] shows the whole [frame] upright on a display turned by [displayDegrees].
 *
 * The view stretches frames to its own size as if the device were held upright; this undoes the stretching.
 */
fun previewTransform(width: Int, height: Int, frame: Size, displayDegrees: Int): Matrix {
    val view = RectF(0f, 0f, width.toFloat(), height.toFloat())
    val upright = RectF(0f, 0f, frame.height.toFloat(), frame.width.toFloat())
    upright.offset(view.centerX() - upright.centerX(), view.centerY() - upright.centerY())
    val sideways = displayDegrees % 180 != 0
    val shownWidth = if (sideways) frame.width else frame.height
    val shownHeight = if (sideways) frame.height else frame.width
    val scale = minOf(width.toFloat() / shownWidth, height.toFloat() / shownHeight)
    return Matrix().apply {
        setRectToRect(view, upright, Matrix.ScaleToFit.FILL)
        postScale(scale, scale, view.centerX(), view.centerY())
        postRotate(-displayDegrees.toFloat(), view.centerX(), view.centerY())
    }
}
