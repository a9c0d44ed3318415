package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** One class of an answer and how sure the model is of it, 0 to 1. */
data class Score(val label: String, val probability: Float)

/** The [raw] bytes of an output tensor as real values. */
fun dequantize(raw: ByteArray, spec: TensorSpec): FloatArray = when (spec.dtype) {
    Dtype.UINT8 -> FloatArray(raw.size) { ((raw[it].toInt() and 0xFF) - spec.zeroPoint) * spec.scale }
    Dtype.INT8 -> FloatArray(raw.size) { (raw[it] - spec.zeroPoint) * spec.scale }
    Dtype.FLOAT32 -> ByteBuffer.wrap(raw).order(ByteOrder.nativeOrder()).let { buffer ->
        FloatArray(raw.size / 4) { buffer.getFloat() }
    }
}

/** The [count] most probable classes, best first; of equal ones the earlier class. */
fun top(probabilities: FloatArray, labels: List<String>, count: Int): List<Score> =
    probabilities.indices.sortedByDescending { probabilities[it] }
        .take(count)
        .map { Score(labels[it], probabilities[it]) }
