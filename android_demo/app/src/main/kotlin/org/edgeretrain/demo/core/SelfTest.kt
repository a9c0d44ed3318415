package org.edgeretrain.demo.core

import kotlin.math.abs

/**
 * How the golden vectors were answered here: [passed] if all [count] are the bytes of one kind of [kernels], or within one
 * code of them ([exact] is false then). Else [differing] are the seeds of the others. [apart] is the largest difference of
 * a probability from the nearest kind's.
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
    val distances = vectors.first().outputs.keys.associateWith { kernels ->
        vectors.zip(answers) { vector, answer ->
            apart(dequantize(vector.outputs.getValue(kernels), spec), answer.probabilities)
        }
    }
    val (nearest, apart) = distances.minBy { (_, found) -> found.max() }
    val differing = vectors.indices.filterNot { apart[it] <= MOST_APART }.map { vectors[it].seed }
    return SelfTestResult(
        nearest.takeIf { differing.isEmpty() }, apart.all { it == 0f }, vectors.size, differing, apart.max(),
    )
}

/** One code of 1/256, as Python's `verify` allows: LiteRT's 8-bit softmax on ARM64 is another than on computers. */
private const val MOST_APART = 1 / 256f

/** The largest difference between two answers; infinite if they have not the same classes. */
fun apart(a: FloatArray, b: FloatArray): Float =
    if (a.size != b.size) Float.POSITIVE_INFINITY else a.indices.maxOf { abs(a[it] - b[it]) }
