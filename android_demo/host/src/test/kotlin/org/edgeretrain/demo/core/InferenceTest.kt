package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import org.edgeretrain.demo.Fixtures
import org.edgeretrain.demo.LiteRtNetwork
import org.edgeretrain.demo.RecentNetwork
import org.edgeretrain.demo.hex
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** The app's own classifier with the real TensorFlow Lite, held against Python's LiteRT. */
class InferenceTest {

    private fun answers(name: String, factory: NetworkFactory, photos: List<RgbImage> = Fixtures.photos): List<String> =
        Classifier(Fixtures.model(name), factory).use { classifier -> photos.map { classifier.classify(it).raw.hex() } }

    private val kernels = listOf("xnnpack" to RecentNetwork.XNNPACK, "builtin" to RecentNetwork.BUILTIN)

    @Test
    fun `answers to 20 photos are the bytes of Python's kernels of the same kind`() {
        assertEquals(6, Fixtures.answers.size)
        for (expected in Fixtures.answers) {
            for ((kind, factory) in kernels) {
                assertEquals(20, expected.raw(kind).size)
                assertEquals("${expected.model} $kind", expected.raw(kind), answers(expected.model, factory))
            }
        }
    }

    @Test
    fun `answers to golden pictures are the bytes of Python's kernels of the same kind`() {
        for (expected in Fixtures.answers) {
            val model = Fixtures.model(expected.model)
            val pictures = model.contract?.golden.orEmpty().map { goldenPicture(it.seed, model.res) }
            assertEquals(expected.model, if (expected.model == "foreign") 0 else 3, pictures.size)
            for ((kind, factory) in kernels) {
                assertEquals("${expected.model} $kind", expected.golden(kind), answers(expected.model, factory, pictures))
            }
        }
    }

    /** Its int8 convolutions round otherwise; those of the uint8 scheme have not changed since. */
    @Test
    fun `the old runtime answers the same bytes to uint8 and nearly the same to int8`() {
        for (expected in Fixtures.answers) {
            val apart = apart(expected, "reference", LiteRtNetwork).max()
            assertTrue("${expected.model} $apart", apart <= if (expected.model == "uint8") 0f else 12 / 256f)
        }
    }

    /** How far each of the 20 answers is from Python's. */
    private fun apart(expected: Fixtures.Answers, kind: String, factory: NetworkFactory): List<Float> {
        val spec = Fixtures.model(expected.model).output
        return answers(expected.model, factory).zip(expected.raw(kind))
            .map { (a, b) -> apart(probabilities(a, spec), probabilities(b, spec)) }
    }

    private fun probabilities(hex: String, spec: TensorSpec): FloatArray =
        dequantize(ByteArray(hex.length / 2) { hex.substring(2 * it, 2 * it + 2).toInt(16).toByte() }, spec)

    @Test
    fun `classes of 20 photos are Python's`() {
        for (expected in Fixtures.answers) {
            Classifier(Fixtures.model(expected.model), LiteRtNetwork).use { classifier ->
                val found = Fixtures.photos.map { photo ->
                    val best = top(classifier.classify(photo).probabilities, classifier.model.labels, 1).single()
                    classifier.model.labels.indexOf(best.label)
                }
                assertEquals(expected.model, expected.classes, found)
            }
        }
    }

    @Test
    fun `the self-test names the distance of the old runtime`() {
        val result = Classifier(Fixtures.model("int8"), LiteRtNetwork).use(::selfTest)
        assertFalse(result.passed)
        assertTrue("${result.apart}", result.apart > 0 && result.apart <= 8 / 256f)
        assertTrue(result.differing.isNotEmpty())
    }

    @Test
    fun `the self-test passes and says whose bytes they are`() {
        for (name in listOf("int8", "int8_io_int8", "int8_io_float32", "uint8", "wide")) {
            val recent = Classifier(Fixtures.model(name), RecentNetwork.XNNPACK).use(::selfTest)
            assertEquals("$name ${recent.apart}", listOf("xnnpack", true, 3), listOf(recent.kernels, recent.exact, recent.count))
        }
    }

    @Test
    fun `the self-test allows one code and says so`() {
        val model = Fixtures.model("int8")
        fun testOff(codes: Int): SelfTestResult {
            val vectors = model.contract!!.golden.iterator()
            val off = NetworkFactory { _, _ ->
                object : Network {
                    override fun run(input: ByteBuffer, output: ByteBuffer) {
                        val bytes = vectors.next().outputs.getValue("xnnpack").clone()
                        bytes[0] = (bytes[0] + codes).toByte()
                        output.put(bytes)
                    }

                    override fun close() = Unit
                }
            }
            return Classifier(model, off).use(::selfTest)
        }
        val near = testOff(1)
        assertEquals(listOf("xnnpack", false, true), listOf(near.kernels, near.exact, near.passed))
        val far = testOff(2)
        assertFalse(far.passed)
        assertEquals(2 / 256f, far.apart, 0f)
        assertEquals(model.contract!!.golden.map { it.seed }, far.differing)
    }

    @Test
    fun `the self-test names the vectors of a model that answers otherwise`() {
        val model = Fixtures.model("int8")
        val expected = model.contract!!.golden.map { it.seed }
        val wrong = NetworkFactory { _, _ ->
            object : Network {
                override fun run(input: ByteBuffer, output: ByteBuffer) {
                    while (output.hasRemaining()) output.put(7)
                }

                override fun close() = Unit
            }
        }
        val result = Classifier(model, wrong).use(::selfTest)
        assertEquals(null, result.kernels)
        assertEquals(expected, result.differing)
    }

    @Test
    fun `more threads give the same bytes`() {
        fun answer(threads: Int) =
            Classifier(Fixtures.model("wide"), LiteRtNetwork, threads).use { it.classify(Fixtures.photos[0]).raw.hex() }
        assertEquals(answer(1), answer(4))
    }

    @Test
    fun `a self-test needs a contract`() {
        val error = Classifier(Fixtures.model("foreign"), LiteRtNetwork).use { classifier ->
            assertThrows(IllegalArgumentException::class.java) { selfTest(classifier) }
        }
        assertEquals("a model without a contract has no golden vectors", error.message)
    }

    @Test
    fun `a network that the runtime refuses is a fault, not a crash`() {
        val good = Fixtures.model("int8")
        val nonsense = ModelFile(
            "x", ByteArray(64), 64, good.input, good.output, good.labels, null, Normalization.USUAL,
        )
        val error = assertThrows(ModelException::class.java) { Classifier(nonsense, LiteRtNetwork) }
        assertEquals(Fault.REFUSED, error.fault)
    }
}
