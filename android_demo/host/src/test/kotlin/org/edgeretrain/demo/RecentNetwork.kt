package org.edgeretrain.demo

import java.nio.ByteBuffer
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolver
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteTensorCopyFromBuffer
import org.bytedeco.tensorflowlite.global.tensorflowlite.TfLiteTensorCopyToBuffer
import org.edgeretrain.demo.core.Network
import org.edgeretrain.demo.core.NetworkFactory

/** A network run by a recent TensorFlow Lite, with XNNPACK as on phones or with the builtin kernels. */
class RecentNetwork private constructor(flatbuffer: ByteBuffer, threads: Int, xnnpack: Boolean) : Network {

    // C++ keeps references to all of these
    private val data = BytePointer(flatbuffer)
    private val model = FlatBufferModel.BuildFromBuffer(data, flatbuffer.capacity().toLong())
    private val resolver = if (xnnpack) BuiltinOpResolver() else BuiltinOpResolverWithoutDefaultDelegates()
    private val builder = InterpreterBuilder(model, resolver)
    private val interpreter = Interpreter(null as Pointer?)

    init {
        check(builder.apply(interpreter, threads) == 0 && interpreter.AllocateTensors() == 0) { "refused" }
    }

    override fun run(input: ByteBuffer, output: ByteBuffer) {
        val from = Pointer(input)
        check(TfLiteTensorCopyFromBuffer(interpreter.input_tensor(0), from, input.capacity().toLong()) == 0) { "input" }
        check(interpreter.Invoke() == 0) { "invoke" }
        val to = Pointer(output)
        check(TfLiteTensorCopyToBuffer(interpreter.output_tensor(0), to, output.capacity().toLong()) == 0) { "output" }
    }

    override fun close() = listOf(interpreter, builder, resolver, model, data).forEach(Pointer::close)

    companion object {
        val XNNPACK = NetworkFactory { flatbuffer, threads -> RecentNetwork(flatbuffer, threads, true) }
        val BUILTIN = NetworkFactory { flatbuffer, threads -> RecentNetwork(flatbuffer, threads, false) }
    }
}
