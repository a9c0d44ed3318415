package org.edgeretrain.demo.core

/** A picture of 8-bit RGB: [pixels] holds [height] rows of [width] times red, green, blue. */
class RgbImage(val width: Int, val height: Int, val pixels: ByteArray) {
    init {
        require(pixels.size == width * height * 3) { "$width x $height needs ${width * height * 3} bytes" }
    }
}
