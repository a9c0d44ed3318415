package org.edgeretrain.demo.core

/**
 * An image classifier in a .tflite: ours, with a contract, or a foreign one, without.
 *
 * Everything the app needs to know is read here, in plain code, before native code sees the file.
 */
class ModelFile(
    val name: String,
    val flatbuffer: ByteArray,
    val sizeBytes: Int,
    val input: TensorSpec,
    val output: TensorSpec,
    val labels: List<String>,
    val contract: Contract?,
    val normalization: Normalization,
) {
    /** Side of the input picture in pixels. */
    val res: Int get() = input.shape[1]

    companion object {
        /** A phone's heap holds the file twice. */
        const val MAX_BYTES = 64 shl 20

        /** Throws [ModelException] for anything that is not an image classifier. */
        fun parse(name: String, data: ByteArray): ModelFile {
            if (data.size > MAX_BYTES) throw ModelException(Fault.TOO_LARGE, "${data.size shr 20} MiB")
            if (data.size < 32 || String(data, 4, 4, Charsets.ISO_8859_1) != "TFL3") {
                throw ModelException(Fault.NOT_TFLITE)
            }
            val zip = intact { AppendedZip.of(data) }
            val flatbuffer = data.copyOf(zip.start)
            val graph = intact { Graph.read(flatbuffer) }
            val (input, output) = graph.image()
            val labels = labels(zip.files, output.count)
            val contract = zip.files[Contract.FILE]?.let { Contract.parse(String(it, Charsets.UTF_8)) }
            return ModelFile(name, flatbuffer, data.size, input, output, labels, contract, graph.normalization)
        }

        private fun labels(files: Map<String, ByteArray>, count: Int): List<String> {
            val file = files.entries.firstOrNull { (name, _) -> name.endsWith(".txt") && "label" in name }
            val labels = file?.let { String(it.value, Charsets.UTF_8).trimEnd('\n', '\r').lines() }
            if (labels != null && labels.size != count) throw ModelException(Fault.LABEL_COUNT, "${labels.size}, $count")
            return labels ?: List(count) { "class $it" }
        }

        private fun <T> intact(read: () -> T): T = try {
            read()
        } catch (error: IndexOutOfBoundsException) {
            throw ModelException(Fault.DAMAGED, error.message.orEmpty(), error)
        } catch (error: IllegalArgumentException) {
            throw ModelException(Fault.DAMAGED, error.message.orEmpty(), error)
        } catch (error: java.util.zip.DataFormatException) {
            throw ModelException(Fault.DAMAGED, error.message.orEmpty(), error)
        }
    }
}
