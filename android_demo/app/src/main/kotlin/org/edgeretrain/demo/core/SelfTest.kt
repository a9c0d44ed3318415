package org.edgeretrain.demo.core

import kotlin.math.abs

/** How the golden vectors were answered here. [kernels] is whose bytes they are, null if some vector differs. */
class SelfTestResult(val kernels: String?, val exact: Boolean, val count: Int, val differing: List<Int>)

/** Replay the golden vectors of a model that has a contract. */
fun selfTest(classifier: Classifier): SelfTestResult {
    val contract = requireNotNull(classifier.model.contract) { "a model without a contract has no golden vectors" }
    val vectors = contract.golden
    val answers = vectors.map { classifier.classify(goldenPicture(it.seed, classifier.model.res)).raw }
    val pairs = vectors.zip(answers)
    for (kernels in vectors.flatMap { it.outputs.keys }.distinct()) {
        if (pairs.all { (vector, answer) -> answer.contentEquals(vector.outputs[kernels]) }) {
            return SelfTestResult(kernels, true, vectors.size, emptyList())
        }
    }
    // XNNPACK's kernels of the uint8 scheme may be one code apart between processors
    val allowed = if (contract.scheme == "uint8") 1 else 0
    val differing = pairs.filter { (vector, answer) -> codesApart(vector.outputs["xnnpack"], answer) > allowed }
    val kernels = if (differing.isEmpty()) "xnnpack" else null
    return SelfTestResult(kernels, false, vectors.size, differing.map { (vector, _) -> vector.seed })
}

private fun codesApart(expected: ByteArray?, found: ByteArray): Int {
    if (expected == null || expected.size != found.size) return Int.MAX_VALUE
    return expected.indices.maxOfOrNull { abs((expected[it].toInt() and 0xFF) - (found[it].toInt() and 0xFF)) } ?: 0
}
