package org.edgeretrain.demo.core

/** The value below which the fraction [q] of [values] lies; linear between neighbours, as numpy's default. */
fun quantile(values: List<Double>, q: Double): Double {
    require(values.isNotEmpty()) { "no values" }
    require(q in 0.0..1.0) { "$q is no fraction" }
    val sorted = values.sorted()
    val position = q * (sorted.size - 1)
    val below = position.toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (position - below) * (sorted[above] - sorted[below])
}

/** Percentiles of times in milliseconds. */
class Summary(val p50: Double, val p90: Double, val p99: Double) {

    fun toJson() = mapOf("p50_ms" to p50, "p90_ms" to p90, "p99_ms" to p99)

    companion object {
        fun of(times: List<Double>) = Summary(quantile(times, 0.5), quantile(times, 0.9), quantile(times, 0.99))
    }
}
