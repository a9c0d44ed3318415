package org.edgeretrain.demo.core

import java.nio.ByteBuffer

/**
 * Put the pixels of [image] into [buffer] as [dtype]: uint8 takes them as they are, int8 takes pixel - 128,
 * float32 takes (pixel - mean) / std.
 */
fun fillInput(buffer: ByteBuffer, image: RgbImage, dtype: Dtype, normalization: Normalization) {
    buffer.rewind()
    when (dtype) {
        Dtype.UINT8 -> buffer.put(image.pixels)
        Dtype.INT8 -> for (pixel in image.pixels) buffer.put((pixel.toInt() xor 0x80).toByte())
        Dtype.FLOAT32 -> for (pixel in image.pixels) {
            buffer.putFloat(((pixel.toInt() and 0xFF) - normalization.mean) / normalization.std)
        }
    }
    buffer.rewind()
}
