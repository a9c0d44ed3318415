package org.edgeretrain.demo.core

private const val GRID = 6

/** The picture `blobs-1` of [seed] (docs/contract.md): integers only, the same in every language. */
fun goldenPicture(seed: Int, res: Int): RgbImage {
    val start = seed * 0x9e3779b9.toInt()
    val corners = IntArray(GRID * GRID * 3) { mix(start + it) ushr 24 }
    val positions = IntArray(res) { it * (GRID - 1) * 256 / (res - 1) }
    val pixels = ByteArray(res * res * 3)
    for (index in pixels.indices) {
        val channel = index % 3
        val x = positions[index / 3 % res]
        val y = positions[index / 3 / res]
        val column = minOf(x shr 8, GRID - 2)
        val row = minOf(y shr 8, GRID - 2)
        val right = x - 256 * column
        val down = y - 256 * row
        fun corner(r: Int, c: Int) = corners[(r * GRID + c) * 3 + channel]
        val above = corner(row, column) * (256 - right) + corner(row, column + 1) * right
        val below = corner(row + 1, column) * (256 - right) + corner(row + 1, column + 1) * right
        val smooth = (above * (256 - down) + below * down) shr 16
        val noise = (mix(start + 0x10000 + index) ushr 26) - 32
        pixels[index] = (smooth + noise).coerceIn(0, 255).toByte()
    }
    return RgbImage(res, res, pixels)
}

/** The 32-bit finalizer of MurmurHash3. */
private fun mix(value: Int): Int {
    var x = value xor (value ushr 16)
    x *= 0x85ebca6b.toInt()
    x = x xor (x ushr 13)
    x *= 0xc2b2ae35.toInt()
    return x xor (x ushr 16)
}
