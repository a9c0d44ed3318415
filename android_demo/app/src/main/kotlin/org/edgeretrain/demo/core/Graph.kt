package org.edgeretrain.demo.core

/** The tables of a .tflite that the native code will follow, visited once so that it meets no dangling offset. */
internal class Graph(
    private val inputs: List<Tensor>,
    private val outputs: List<Tensor>,
    val normalization: Normalization,
) {
    class Tensor(val type: Int, val shape: List<Int>, val scale: Float, val zeroPoint: Int)

    /** Input and output of an image classifier; throws [ModelException] if this is none. */
    fun image(): Pair<TensorSpec, TensorSpec> {
        if (inputs.size != 1 || outputs.size != 1) {
            throw ModelException(Fault.NOT_IMAGE, "${inputs.size} -> ${outputs.size}")
        }
        val shape = inputs[0].shape
        if (shape.size != 4 || shape[0] != 1 || shape[3] != 3 || shape[1] != shape[2] || shape[1] !in 2..MAX_RES) {
            throw ModelException(Fault.NOT_IMAGE, "$shape")
        }
        val answers = outputs[0].shape
        if (answers.isEmpty() || answers.any { it !in 1..MAX_CLASSES } || answers.max() != answers.fold(1, Int::times)) {
            throw ModelException(Fault.NOT_IMAGE, "$shape -> $answers")
        }
        return spec(inputs[0]) to spec(outputs[0])
    }

    private fun spec(tensor: Tensor): TensorSpec {
        val dtype = Dtype.entries.firstOrNull { it.code == tensor.type }
            ?: throw ModelException(Fault.WRONG_TYPE, TYPE_NAMES.getOrElse(tensor.type) { "type ${tensor.type}" })
        return TensorSpec(dtype, tensor.shape, tensor.scale, tensor.zeroPoint)
    }

    companion object {
        private const val MAX_RES = 4096
        private const val MAX_CLASSES = 1 shl 20
        private val TYPE_NAMES = listOf("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16")

        // Slots of the tables in TensorFlow Lite's schema.fbs
        private const val MODEL_OPCODES = 1
        private const val MODEL_SUBGRAPHS = 2
        private const val MODEL_BUFFERS = 4
        private const val MODEL_METADATA = 6
        private const val GRAPH_TENSORS = 0
        private const val GRAPH_INPUTS = 1
        private const val GRAPH_OUTPUTS = 2
        private const val GRAPH_OPERATORS = 3

        fun read(flatbuffer: ByteArray): Graph {
            val model = Table.root(flatbuffer)
            val opcodes = model.tables(MODEL_OPCODES).size
            val buffers = model.tables(MODEL_BUFFERS)
            buffers.forEach { it.bytes(0) }
            val graphs = model.tables(MODEL_SUBGRAPHS).map { readGraph(it, opcodes, buffers.size) }
            require(graphs.isNotEmpty()) { "no network inside" }
            val normalization = model.tables(MODEL_METADATA)
                .firstOrNull { it.string(0) == "TFLITE_METADATA" }
                ?.let { entry -> buffers.getOrNull(entry.uint(1)) }
                ?.let { readNormalization(it.bytes(0)) }
            return Graph(graphs[0].first, graphs[0].second, normalization ?: Normalization.USUAL)
        }

        private fun readGraph(graph: Table, opcodes: Int, buffers: Int): Pair<List<Tensor>, List<Tensor>> {
            val tensors = graph.tables(GRAPH_TENSORS).map { readTensor(it, buffers) }
            for (operator in graph.tables(GRAPH_OPERATORS)) {
                val used = operator.ints(1) + operator.ints(2)
                require(operator.uint(0) in 0 until opcodes && used.all { it in -1 until tensors.size }) {
                    "an operator names something that does not exist"
                }
            }
            return graph.ints(GRAPH_INPUTS).map(tensors::get) to graph.ints(GRAPH_OUTPUTS).map(tensors::get)
        }

        private fun readTensor(tensor: Table, buffers: Int): Tensor {
            require(tensor.uint(2) in 0 until buffers) { "a tensor names a buffer that does not exist" }
            val quantization = tensor.child(4)
            return Tensor(
                type = tensor.byte(1),
                shape = tensor.ints(0).toList(),
                scale = quantization?.floats(2)?.firstOrNull() ?: 0f,
                zeroPoint = quantization?.longs(3)?.firstOrNull()?.toInt() ?: 0,
            )
        }
    }
}
