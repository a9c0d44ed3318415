package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import org.edgeretrain.demo.Fixtures
import org.edgeretrain.demo.LiteRtNetwork
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class BenchmarkTest {

    private val opened = mutableListOf<CountingNetwork>()

    private inner class CountingNetwork(val threads: Int) : Network {
        var runs = 0
        var closed = false

        override fun run(input: ByteBuffer, output: ByteBuffer) {
            runs++
        }

        override fun close() {
            closed = true
        }
    }

    private val counting = NetworkFactory { _, threads -> CountingNetwork(threads).also(opened::add) }

    @Test
    fun `quantiles are numpy's`() {
        val values = listOf(4.0, 1.0, 3.0, 2.0)
        assertEquals(listOf(1.0, 2.5, 3.7, 4.0), listOf(0.0, 0.5, 0.9, 1.0).map { quantile(values, it) })
        assertEquals(5.0, quantile(listOf(5.0), 0.99), 0.0)
        assertEquals("no values", assertThrows(IllegalArgumentException::class.java) { quantile(listOf(), 0.5) }.message)
        assertEquals(
            "1.5 is no fraction",
            assertThrows(IllegalArgumentException::class.java) { quantile(values, 1.5) }.message,
        )
    }

    @Test
    fun `warm-up does not count, both minima hold and the network is closed`() {
        var now = 0L
        val clock = { now.also { now += 1_000_000_000 } } // one second passes at each look
        val timing = Benchmark(counting, BenchmarkPlan(3, 5, 0.5), clock).run(Fixtures.model("int8"), 2)
        assertEquals(5, timing.runs)
        assertEquals(8, opened.single().runs)
        assertEquals(2, opened.single().threads)
        assertTrue(opened.single().closed)
    }

    @Test
    fun `a fast model runs until the time is over`() {
        var now = 0L
        val clock = { now.also { now += 100_000_000 } }
        val timing = Benchmark(counting, BenchmarkPlan(0, 5, 2.0), clock).run(Fixtures.model("int8"), 1)
        // The clock is looked at once at the start and once after each run from the fifth on
        assertEquals(5 + 19, timing.runs)
    }

    @Test
    fun `an interrupted benchmark stops and closes the network`() {
        Thread.currentThread().interrupt()
        assertThrows(InterruptedException::class.java) { Benchmark(counting).run(Fixtures.model("int8"), 1) }
        assertTrue(opened.single().closed)
    }

    @Test
    fun `the result is one JSON document`() {
        val model = Fixtures.model("int8")
        val timing = Benchmark(LiteRtNetwork, BenchmarkPlan(1, 5, 0.0)).run(model, 1)
        val json = BenchmarkResult(model, Device("maker model", "15", "x86_64"), listOf(timing), "run 1").toJson()
        val document = Json.parse(json) as Map<*, *>
        assertEquals("android-benchmark", document["edgeretrain"])
        assertEquals(1L, document["version"])
        assertEquals("run 1", document["run"])
        assertEquals("mobilenet_v1_025_128", (document["model"] as Map<*, *>)["name"])
        assertEquals(model.sizeBytes.toLong(), (document["model"] as Map<*, *>)["size_bytes"])
        val read = (document["timings"] as List<*>).single() as Map<*, *>
        assertEquals(1L, read["threads"])
        assertEquals(5L, read["runs"])
        for (part in listOf("preprocess", "inference")) {
            val times = read[part] as Map<*, *>
            val (p50, p90, p99) = listOf("p50_ms", "p90_ms", "p99_ms").map { times[it] as Double }
            assertTrue(part, 0 < p50 && p50 <= p90 && p90 <= p99)
        }
        assertEquals("unknown", read["thermal_before"])
    }

    @Test
    fun `a gate lets one frame in at a time`() {
        val gate = FrameGate()
        assertEquals(listOf(true, false, false), List(3) { gate.enter() })
        gate.leave()
        assertTrue(gate.enter())
    }

    @Test
    fun `the best classes come first, of equal ones the earlier`() {
        val scores = top(floatArrayOf(0.2f, 0.5f, 0.2f, 0.1f), listOf("a", "b", "c", "d"), 3)
        assertEquals(listOf(Score("b", 0.5f), Score("a", 0.2f), Score("c", 0.2f)), scores)
        assertEquals(1, top(floatArrayOf(1f), listOf("a"), 3).size)
    }
}
