package org.edgeretrain.demo.core

/** How a float32 input is prepared: (pixel - [mean]) / [std]. */
class Normalization(val mean: Float, val std: Float) {
    companion object {
        /** What most float models without metadata expect: values from -1 to 1. */
        val USUAL = Normalization(127.5f, 127.5f)
    }
}

/** The normalization in a TFLITE_METADATA buffer (metadata_schema.fbs, identifier M001), null if there is none. */
internal fun readNormalization(metadata: ByteArray): Normalization? {
    val graph = Table.root(metadata).tables(3).firstOrNull() ?: return null
    val units = graph.tables(2).firstOrNull()?.tables(4) ?: return null
    val options = units.firstOrNull { it.byte(0) == 1 }?.child(1) ?: return null
    val mean = options.floats(0).firstOrNull() ?: return null
    val std = options.floats(1).firstOrNull() ?: return null
    return if (std == 0f) null else Normalization(mean, std)
}
