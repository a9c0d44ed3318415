package org.edgeretrain.demo.core

/** Top-1 on test photos, with its 95 % interval. */
class Accuracy(val top1: Double, val low: Double, val high: Double, val n: Long)

/** A golden vector: the [seed] of a picture and the bytes that each kind of kernels answers. */
class GoldenVector(val seed: Int, val outputs: Map<String, ByteArray>)

/** What a model written by edgeretrain says about itself (docs/contract.md). */
class Contract(
    val model: String,
    val scheme: String,
    val module: String,
    val photos: Map<String, Long>,
    val accuracy: Accuracy?,
    val preprocessing: String,
    val golden: List<GoldenVector>,
) {
    companion object {
        const val FILE = "edgeretrain.json"
        private const val VERSION = 1L
        private const val GENERATOR = "blobs-1"
        private val KERNELS = listOf("xnnpack", "reference")

        /** Throws [ModelException]; keys that this version does not know are ignored. */
        fun parse(text: String): Contract = try {
            val root = Json.parse(text).asMap()
            val version = root["contract"] as Long
            if (version > VERSION) throw ModelException(Fault.NEWER, version.toString())
            Contract(
                model = root["model"] as String,
                scheme = root["scheme"] as String,
                module = root["module"].asMap().run { "${get("kind")} ${get("name")}" },
                photos = root["data"].asMap().filterKeys { it in PARTS }.mapValues { it.value as Long },
                accuracy = root["accuracy"]?.asMap()?.takeIf { it.isNotEmpty() }?.let(::accuracy),
                preprocessing = root["input"].asMap()["preprocessing"] as String,
                golden = vectors(root["golden"].asMap()),
            )
        } catch (error: ClassCastException) {
            throw ModelException(Fault.DAMAGED, FILE, error)
        } catch (error: NullPointerException) {
            throw ModelException(Fault.DAMAGED, FILE, error)
        } catch (error: IllegalArgumentException) {
            throw ModelException(Fault.DAMAGED, "$FILE: ${error.message}", error)
        }

        private val PARTS = listOf("train", "validation", "test")

        private fun accuracy(map: Map<String, Any?>) =
            Accuracy(map.number("top1"), map.number("low"), map.number("high"), map["n"] as Long)

        private fun vectors(golden: Map<String, Any?>): List<GoldenVector> {
            val generator = golden["generator"] as String
            if (generator != GENERATOR) throw ModelException(Fault.NEWER, generator)
            return (golden["vectors"] as List<*>).map { it.asMap() }.map { vector ->
                GoldenVector((vector["seed"] as Long).toInt(), KERNELS.associateWith { fromHex(vector[it] as String) })
            }
        }

        private fun fromHex(text: String): ByteArray {
            require(text.length % 2 == 0) { "half a byte" }
            return ByteArray(text.length / 2) { text.substring(2 * it, 2 * it + 2).toInt(16).toByte() }
        }

        @Suppress("UNCHECKED_CAST") // keys of a parsed JSON object are strings
        private fun Any?.asMap() = this as Map<String, Any?>

        private fun Map<String, Any?>.number(key: String) = (get(key) as Number).toDouble()
    }
}
