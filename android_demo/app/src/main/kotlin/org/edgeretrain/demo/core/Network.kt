package org.edgeretrain.demo.core

import java.nio.ByteBuffer

/** A network that is ready to run; whoever opens it closes it. */
interface Network : AutoCloseable {
    /** Read direct buffer [input], write direct buffer [output]; both are as large as the tensors. */
    fun run(input: ByteBuffer, output: ByteBuffer)
}

/** Opens a network; throws [ModelException] when the runtime refuses the file. */
fun interface NetworkFactory {
    fun open(flatbuffer: ByteBuffer, threads: Int): Network
}
