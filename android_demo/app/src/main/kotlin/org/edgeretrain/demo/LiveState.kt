package org.edgeretrain.demo

import android.graphics.Bitmap
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.Score

/** Everything that the main screen shows. */
data class LiveState(
    val models: List<String> = emptyList(),
    val selected: String? = null,
    val loading: Boolean = false,
    val scores: List<Score> = emptyList(),
    val preprocessMs: Double = 0.0,
    val inferenceMs: Double = 0.0,
    /** The picked photo; null while the camera is live. */
    val photo: Bitmap? = null,
    val problem: Problem? = null,
)

/** What went wrong, for a sentence on the screen. */
sealed interface Problem {
    data object NoModels : Problem

    data object NoCamera : Problem

    data object NoPermission : Problem

    data object BadPhoto : Problem

    class BadModel(val name: String, val error: ModelException) : Problem
}
