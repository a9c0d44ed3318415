package org.edgeretrain.demo.core

import java.io.ByteArrayOutputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.random.Random
import org.edgeretrain.demo.Fixtures
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class ModelFileTest {

    private fun fault(data: ByteArray): ModelException =
        assertThrows(ModelException::class.java) { ModelFile.parse("x.tflite", data) }

    /** The network of our own file with another ZIP behind it. */
    private fun sealed(vararg files: Pair<String, String>): ByteArray {
        val out = ByteArrayOutputStream()
        out.write(Fixtures.model("int8").flatbuffer)
        ZipOutputStream(out).use { zip ->
            for ((name, text) in files) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(text.toByteArray())
            }
        }
        return out.toByteArray()
    }

    private val labels = Fixtures.model("int8").labels
    private val labelText = labels.joinToString("\n", postfix = "\n")

    @Test
    fun `our own file says all about itself`() {
        val model = Fixtures.model("int8")
        assertEquals(128, model.res)
        assertEquals(Dtype.UINT8, model.input.dtype)
        assertEquals(128, model.input.zeroPoint)
        assertEquals(1 / 256f, model.output.scale)
        assertEquals(Fixtures.answers.first { it.model == "int8" }.labels, model.labels)
        val contract = model.contract!!
        assertEquals("mobilenet_v1_025_128", contract.model)
        assertEquals("int8", contract.scheme)
        assertEquals("rgb-squeeze-bilinear-1", contract.preprocessing)
        assertEquals(3, contract.golden.size)
        assertEquals(setOf("train", "validation", "test"), contract.photos.keys)
        val accuracy = contract.accuracy!!
        assertTrue(accuracy.low <= accuracy.top1 && accuracy.top1 <= accuracy.high && accuracy.n > 0)
    }

    @Test
    fun `all types of input and output are read`() {
        assertEquals(Dtype.INT8, Fixtures.model("int8_io_int8").input.dtype)
        assertEquals(-128, Fixtures.model("int8_io_int8").output.zeroPoint)
        assertEquals(Dtype.FLOAT32, Fixtures.model("int8_io_float32").output.dtype)
        assertEquals("uint8", Fixtures.model("uint8").contract!!.scheme)
        assertEquals(160, Fixtures.model("wide").res)
    }

    @Test
    fun `a foreign file has generic labels and its metadata's normalization`() {
        val model = Fixtures.model("foreign")
        assertNull(model.contract)
        assertEquals(List(labels.size) { "class $it" }, model.labels)
        assertEquals(128f, model.normalization.mean)
        assertEquals(128f, model.normalization.std)
    }

    @Test
    fun `compressed files and offsets from the ZIP's own start are read too`() {
        assertEquals(labels, ModelFile.parse("x", sealed("labels.txt" to labelText)).labels)
    }

    @Test
    fun `files that are no image classifier are refused with the reason`() {
        assertEquals(Fault.NOT_TFLITE, fault(ByteArray(0)).fault)
        assertEquals(Fault.NOT_TFLITE, fault(ByteArray(1000)).fault)
        assertEquals("[1, 10]", fault(Fixtures.bytes("not_image.tflite")).detail)
        assertEquals(Fault.NOT_IMAGE, fault(Fixtures.bytes("not_image.tflite")).fault)
    }

    @Test
    fun `labels of another number are refused`() {
        val error = fault(sealed("labels.txt" to "one\n"))
        assertEquals(Fault.LABEL_COUNT, error.fault)
        assertEquals("1, ${labels.size}", error.detail)
    }

    @Test
    fun `a newer or damaged contract is refused`() {
        fun contract(text: String) = fault(sealed("labels.txt" to labelText, "edgeretrain.json" to text))

        assertEquals(Fault.NEWER, contract("{\"contract\":2}").fault)
        assertEquals(Fault.DAMAGED, contract("{\"contract\":1}").fault)
        assertEquals(Fault.DAMAGED, contract("{").fault)
        assertEquals("edgeretrain.json: not JSON at character 1", contract("{").detail)
    }

    @Test
    fun `a flipped label byte is noticed`() {
        val data = Fixtures.bytes("int8.tflite")
        val at = String(data, Charsets.ISO_8859_1).indexOf(labels[0], Fixtures.model("int8").flatbuffer.size)
        data[at] = (data[at] + 1).toByte()
        assertEquals(Fault.DAMAGED, fault(data).fault)
        assertEquals("a wrong checksum", fault(data).detail)
    }

    @Test
    fun `damaged files are refused or read but never crash`() {
        val whole = Fixtures.bytes("int8.tflite")
        val random = Random(0)
        var refused = 0
        repeat(400) { i ->
            val data = if (i % 2 == 0) whole.copyOf(random.nextInt(whole.size)) else whole.copyOf()
            // Most tables of a .tflite stand at its end, some at its beginning
            val network = Fixtures.model("int8").flatbuffer.size
            if (i % 2 == 1) {
                repeat(20) { data[random.nextInt(maxOf(0, network - 40_000), network)] = random.nextInt().toByte() }
            }
            try {
                ModelFile.parse("x.tflite", data)
            } catch (_: ModelException) {
                refused++
            }
        }
        assertTrue("$refused", refused > 100)
    }
}
