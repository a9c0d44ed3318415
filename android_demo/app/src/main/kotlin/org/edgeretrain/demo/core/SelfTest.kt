package org.edgeretrain.demo.core

import kotlin.math.abs

/**
 * How the golden vectors were answered here: [passed] if all [count] are the bytes of one kind of [kernels], or, in the
 * uint8 scheme, within one code of XNNPACK's ([exact] is false then). Else [differing] are the seeds of the others and
 * [apart] is the largest difference of a probability.
 */
class SelfTestResult(
    val kernels: String?,
    val exact: Boolean,
    val count: Int,
    val differing: List<Int>,
    val apart: Float,
) {
    val passed: Boolean get() = kernels != null
}

/** Replay the golden vectors of a model that has a contract. */
fun selfTest(classifier: Classifier): SelfTestResult {
    val contract = requireNotNull(classifier.model.contract) { "a model without a contract has no golden vectors" }
    val spec = classifier.model.output
    val vectors = contract.golden
    val answers = vectors.map { classifier.classify(goldenPicture(it.seed, classifier.model.res)) }
    val pairs = vectors.zip(answers)
    for (kernels in vectors.flatMap { it.outputs.keys }.distinct()) {
        if (pairs.all { (vector, answer) -> answer.raw.contentEquals(vector.outputs[kernels]) }) {
            return SelfTestResult(kernels, true, vectors.size, emptyList(), 0f)
        }
    }
    // XNNPACK's kernels of the uint8 scheme may be one code apart between processors
    val allowed = if (contract.scheme == "uint8") spec.scale else 0f
    val distances = pairs.associate { (vector, answer) ->
        vector.seed to apart(dequantize(vector.outputs.getValue("xnnpack"), spec), answer.probabilities)
    }
    val differing = distances.filterValues { it > allowed }.keys.toList()
    val kernels = if (differing.isEmpty()) "xnnpack" else null
    return SelfTestResult(kernels, false, vectors.size, differing, distances.values.max())
}

/** The largest difference between two answers; infinite if they have not the same classes. */
fun apart(a: FloatArray, b: FloatArray): Float =
    if (a.size != b.size) Float.POSITIVE_INFINITY else a.indices.maxOf { abs(a[it] - b[it]) }
