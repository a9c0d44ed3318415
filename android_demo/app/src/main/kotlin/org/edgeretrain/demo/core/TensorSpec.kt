package org.edgeretrain.demo.core

/** The element types that a picture or an answer can have; [code] is TFLite's number of the type. */
enum class Dtype(val code: Int, val size: Int) {
    FLOAT32(0, 4),
    UINT8(3, 1),
    INT8(9, 1),
    ;

    override fun toString() = name.lowercase()
}

/** The model's input or output. A real value is (code - [zeroPoint]) * [scale]; float32 has scale 0. */
class TensorSpec(val dtype: Dtype, val shape: List<Int>, val scale: Float, val zeroPoint: Int) {

    val count: Int get() = shape.fold(1, Int::times)
    val sizeBytes: Int get() = count * dtype.size

    override fun toString() = "$dtype $shape"
}
