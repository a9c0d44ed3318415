package org.edgeretrain.demo.core

import kotlin.math.abs

private const val PRECISION = 22
private const val HALF = 1 shl (PRECISION - 1)

/** Which source samples make one output sample: `first` onwards, each with a weight in 22-bit fixed point. */
private class Taps(val first: Int, val weights: IntArray)

/**
 * Squeeze [image] to [res] x [res]: the same pixels as Pillow's 8-bit BILINEAR, which models are trained on.
 *
 * A triangle filter, as wide as the shrinking asks for; first across, then down, rounded to 8 bit after each pass.
 */
fun squeeze(image: RgbImage, res: Int): RgbImage {
    val across = if (image.width == res) image else resizeRows(image, taps(image.width, res))
    return if (across.height == res) across else resizeColumns(across, taps(across.height, res))
}

private fun taps(from: Int, to: Int): List<Taps> {
    val scale = from.toDouble() / to
    val stretch = maxOf(scale, 1.0)
    return List(to) { i ->
        val center = (i + 0.5) * scale
        val first = maxOf((center - stretch + 0.5).toInt(), 0)
        val last = minOf((center + stretch + 0.5).toInt(), from)
        val weights = DoubleArray(last - first) { maxOf(0.0, 1 - abs((it + first - center + 0.5) * (1 / stretch))) }
        val sum = weights.sum()
        Taps(first, IntArray(weights.size) { (weights[it] / sum * (1 shl PRECISION) + 0.5).toInt() })
    }
}

private fun resizeRows(image: RgbImage, taps: List<Taps>): RgbImage {
    val source = image.pixels
    val out = ByteArray(taps.size * image.height * 3)
    var at = 0
    for (y in 0 until image.height) {
        val row = y * image.width * 3
        for (tap in taps) {
            var red = HALF
            var green = HALF
            var blue = HALF
            var from = row + tap.first * 3
            for (weight in tap.weights) {
                red += (source[from].toInt() and 0xFF) * weight
                green += (source[from + 1].toInt() and 0xFF) * weight
                blue += (source[from + 2].toInt() and 0xFF) * weight
                from += 3
            }
            out[at] = clip(red)
            out[at + 1] = clip(green)
            out[at + 2] = clip(blue)
            at += 3
        }
    }
    return RgbImage(taps.size, image.height, out)
}

private fun resizeColumns(image: RgbImage, taps: List<Taps>): RgbImage {
    val source = image.pixels
    val stride = image.width * 3
    val out = ByteArray(stride * taps.size)
    val sums = IntArray(stride)
    for ((y, tap) in taps.withIndex()) {
        sums.fill(HALF)
        for ((k, weight) in tap.weights.withIndex()) {
            val row = (tap.first + k) * stride
            for (x in 0 until stride) sums[x] += (source[row + x].toInt() and 0xFF) * weight
        }
        for (x in 0 until stride) out[y * stride + x] = clip(sums[x])
    }
    return RgbImage(image.width, taps.size, out)
}

private fun clip(sum: Int): Byte = (sum shr PRECISION).coerceIn(0, 255).toByte()
