package org.edgeretrain.demo.core

/** How long to measure: at least [minRuns] runs and [minSeconds], after [warmupRuns] that do not count. */
class BenchmarkPlan(val warmupRuns: Int = 10, val minRuns: Int = 50, val minSeconds: Double = 2.0)

/** Times with one number of threads. [thermal] are the device's states before and after, from none to shutdown. */
class ThreadTiming(
    val threads: Int,
    val runs: Int,
    val preprocess: Summary,
    val inference: Summary,
    val thermal: Pair<String, String>,
) {
    fun toJson() = mapOf(
        "threads" to threads,
        "runs" to runs,
        "preprocess" to preprocess.toJson(),
        "inference" to inference.toJson(),
        "thermal_before" to thermal.first,
        "thermal_after" to thermal.second,
    )
}

/** Where a benchmark ran. */
class Device(val name: String, val android: String, val abi: String) {
    fun toJson() = mapOf("name" to name, "android" to android, "abi" to abi)
}

/** The whole result, one JSON document. [run] is what its asker called it. */
class BenchmarkResult(
    private val model: ModelFile,
    private val device: Device,
    private val timings: List<ThreadTiming>,
    private val run: String? = null,
) {
    fun toJson(): String = Json.write(
        head(run) + mapOf(
            "model" to mapOf(
                "file" to model.name,
                "name" to model.contract?.model,
                "scheme" to model.contract?.scheme,
                "res" to model.res,
                "size_bytes" to model.sizeBytes,
            ),
            "device" to device.toJson(),
            "source" to mapOf("width" to SOURCE_WIDTH, "height" to SOURCE_HEIGHT),
            "timings" to timings.map { it.toJson() },
        ),
    )

    companion object {
        /** Size of the picture that preprocessing starts from: a usual camera frame. */
        const val SOURCE_WIDTH = 640
        const val SOURCE_HEIGHT = 480

        /** The document of a benchmark that could not be run. */
        fun failure(run: String?, error: ModelException): String =
            Json.write(head(run) + mapOf("error" to listOf(error.fault.name, error.detail).joinToString(" ").trim()))

        private fun head(run: String?) = mapOf("edgeretrain" to "android-benchmark", "version" to 1, "run" to run)
    }
}

/** Measures a model on this device. [clock] is in nanoseconds, [thermal] names the present thermal state. */
class Benchmark(
    private val factory: NetworkFactory,
    private val plan: BenchmarkPlan = BenchmarkPlan(),
    private val clock: () -> Long = System::nanoTime,
    private val thermal: () -> String = { "unknown" },
) {
    /** Run with [threads] threads; stops with [InterruptedException] when the thread is interrupted. */
    fun run(model: ModelFile, threads: Int): ThreadTiming = Classifier(model, factory, threads).use { classifier ->
        val picture = cameraFrame()
        val before = thermal()
        repeat(plan.warmupRuns) { classify(classifier, picture) }
        val answers = ArrayList<Answer>()
        val start = clock()
        while (answers.size < plan.minRuns || clock() - start < plan.minSeconds * 1e9) {
            answers += classify(classifier, picture)
        }
        ThreadTiming(
            threads,
            answers.size,
            Summary.of(answers.map { it.preprocessMs }),
            Summary.of(answers.map { it.inferenceMs }),
            before to thermal(),
        )
    }

    private fun classify(classifier: Classifier, picture: RgbImage): Answer {
        if (Thread.interrupted()) throw InterruptedException()
        return classifier.classify(picture)
    }

    /** A picture as large as a camera frame: the golden picture 0, repeated to the right. */
    private fun cameraFrame(): RgbImage {
        val width = BenchmarkResult.SOURCE_WIDTH
        val height = BenchmarkResult.SOURCE_HEIGHT
        val square = goldenPicture(0, height)
        val pixels = ByteArray(width * height * 3) { i ->
            square.pixels[(i / 3 / width * height + i / 3 % width % height) * 3 + i % 3]
        }
        return RgbImage(width, height, pixels)
    }
}
