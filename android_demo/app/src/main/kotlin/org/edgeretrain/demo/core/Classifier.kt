package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What the model said to one picture, and how long it took. [raw] are the output tensor's bytes. */
class Answer(val raw: ByteArray, val probabilities: FloatArray, val preprocessMs: Double, val inferenceMs: Double)

/** Classifies pictures with one model. Owns the network; used from one thread at a time. */
class Classifier(val model: ModelFile, factory: NetworkFactory, threads: Int = 1) : AutoCloseable {

    private val network = factory.open(direct(model.flatbuffer.size).apply { put(model.flatbuffer).rewind() }, threads)
    private val input = direct(model.input.sizeBytes)
    private val output = direct(model.output.sizeBytes)

    /** Squeeze [image] to the model's input size, as in training, and run the model. */
    fun classify(image: RgbImage): Answer {
        val start = System.nanoTime()
        fillInput(input, squeeze(image, model.res), model.input.dtype, model.normalization)
        val prepared = System.nanoTime()
        output.rewind()
        network.run(input, output)
        val end = System.nanoTime()
        output.rewind()
        val raw = ByteArray(model.output.sizeBytes).also { output.get(it) }
        return Answer(raw, dequantize(raw, model.output), (prepared - start) / 1e6, (end - prepared) / 1e6)
    }

    override fun close() = network.close()

    private fun direct(size: Int) = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
}
