package org.edgeretrain.demo

import java.nio.ByteBuffer
import org.edgeretrain.demo.core.Fault
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.Network
import org.edgeretrain.demo.core.NetworkFactory
import org.tensorflow.lite.Interpreter

/** A network run by LiteRT with its default kernels. */
class LiteRtNetwork private constructor(private val interpreter: Interpreter) : Network {

    override fun run(input: ByteBuffer, output: ByteBuffer) = explained { interpreter.run(input, output) }

    override fun close() = interpreter.close()

    companion object : NetworkFactory {
        override fun open(flatbuffer: ByteBuffer, threads: Int): Network = explained {
            LiteRtNetwork(Interpreter(flatbuffer, Interpreter.Options().apply { setNumThreads(threads) }))
        }

        private fun <T> explained(action: () -> T): T = try {
            action()
        } catch (error: IllegalArgumentException) {
            throw ModelException(Fault.REFUSED, error.message.orEmpty(), error)
        } catch (error: IllegalStateException) {
            throw ModelException(Fault.REFUSED, error.message.orEmpty(), error)
        }
    }
}
