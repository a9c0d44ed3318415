package org.edgeretrain.demo

import java.io.File
import org.edgeretrain.demo.core.Json
import org.edgeretrain.demo.core.ModelFile
import org.edgeretrain.demo.core.RgbImage

/** What fixtures.py wrote: models, pictures and Python's answers. */
object Fixtures {
    private val folder = File(System.getProperty("fixtures")!!)
    private val document = Json.parse(File(folder, "fixtures.json").readText()) as Map<*, *>

    class Source(val name: String, val image: RgbImage, val jpeg: ByteArray?)

    class Answers(map: Map<*, *>) {
        val model = map["name"] as String
        val labels = map["labels"] as List<*>
        val classes = (map["classes"] as List<*>).map { (it as Long).toInt() }
        private val raw = bytesByKernels(map["raw"])
        private val golden = bytesByKernels(map["golden"])

        /** The bytes for the photos, in hexadecimal. */
        fun raw(kernels: String): List<String> = raw.getValue(kernels)

        /** The bytes for the golden pictures. */
        fun golden(kernels: String): List<String> = golden.getValue(kernels)

        private fun bytesByKernels(map: Any?) =
            (map as Map<*, *>).mapValues { (_, bytes) -> (bytes as List<*>).map { it as String } }
    }

    val answers: List<Answers> = (document["models"] as List<*>).map { Answers(it as Map<*, *>) }

    val golden: List<Pair<Int, Int>> = (document["golden"] as List<*>).map {
        it as Map<*, *>
        (it["seed"] as Long).toInt() to (it["res"] as Long).toInt()
    }

    val sources: List<Source> = (document["sources"] as List<*>).map {
        it as Map<*, *>
        val name = it["name"] as String
        val image = RgbImage((it["width"] as Long).toInt(), (it["height"] as Long).toInt(), bytes("$name.rgb"))
        Source(name, image, if (it["jpeg"] == true) bytes("$name.jpg") else null)
    }

    /** The photos that the models were asked about. */
    val photos: List<RgbImage> get() = sources.take(PHOTOS).map { it.image }

    fun file(name: String) = File(folder, name)

    fun bytes(name: String): ByteArray = file(name).readBytes()

    fun model(name: String) = ModelFile.parse("$name.tflite", bytes("$name.tflite"))

    private const val PHOTOS = 20
}

fun ByteArray.hex() = joinToString("") { "%02x".format(it) }
