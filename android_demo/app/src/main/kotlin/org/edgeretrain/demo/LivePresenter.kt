package org.edgeretrain.demo

import android.content.ContentResolver
import android.net.Uri
import android.os.Handler
import android.os.Looper
import java.io.IOException
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.ThreadPoolExecutor
import java.util.concurrent.TimeUnit
import org.edgeretrain.demo.core.Classifier
import org.edgeretrain.demo.core.FrameGate
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.NetworkFactory
import org.edgeretrain.demo.core.RgbImage
import org.edgeretrain.demo.core.top

/**
 * Keeps the main screen's state and works for it; survives rotation, owns the classifier.
 *
 * Public functions are called on the main thread, [wantsFrame] and [frame] on the camera's.
 */
class LivePresenter(private val store: ModelStore, private val factory: NetworkFactory) {

    /** One thread; work that comes after [close], such as a camera's last frame, is discarded. */
    private val worker =
        ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, LinkedBlockingQueue(), ThreadPoolExecutor.DiscardPolicy())
    private val main = Handler(Looper.getMainLooper())
    private val gate = FrameGate()
    private var classifier: Classifier? = null // touched by the worker only
    private var screen: ((LiveState) -> Unit)? = null

    @Volatile
    var state = LiveState()
        private set

    fun attach(screen: (LiveState) -> Unit) {
        this.screen = screen
        screen(state)
    }

    fun detach() {
        screen = null
    }

    /**
     * List the models anew and use [preferred], else the one in use, else the first. A model in use is read [again] if
     * its file may be another one now.
     */
    fun refresh(preferred: String?, again: Boolean = false) {
        val names = store.names()
        val chosen = listOf(preferred, state.selected, names.firstOrNull()).firstOrNull { it in names }
        update { it.copy(models = names, problem = if (names.isEmpty()) Problem.NoModels else it.problem) }
        if (chosen != null && (again || chosen != state.selected)) select(chosen)
    }

    fun select(name: String) {
        update { it.copy(selected = name, loading = true, scores = emptyList(), problem = null) }
        work {
            classifier?.close()
            classifier = null
            classifier = Classifier(store.load(name), factory)
            deliver { it.copy(loading = false) }
            state.photo?.let { photo -> answer(photo.toRgb()) }
        }
    }

    /** Keep the model at [uri], opened from another app, and use it. */
    fun open(uri: Uri) = work(uri.lastPathSegment.orEmpty()) {
        val name = store.import(uri)
        main.post {
            update { it.copy(models = store.names()) }
            select(name)
        }
    }

    fun showPhoto(resolver: ContentResolver, uri: Uri) = work {
        try {
            val photo = decodePhoto(resolver, uri)
            deliver { it.copy(photo = photo, scores = emptyList(), problem = null) }
            answer(photo.toRgb())
        } catch (_: IOException) {
            deliver { it.copy(problem = Problem.BadPhoto) }
        } catch (_: OutOfMemoryError) { // a picture of hundreds of megapixels
            deliver { it.copy(problem = Problem.BadPhoto) }
        }
    }

    fun showCamera() = update { it.copy(photo = null, scores = emptyList(), problem = null) }

    /** The camera may be used: complaints about it are over. */
    fun cameraAllowed() {
        if (state.problem is Problem.NoPermission || state.problem is Problem.NoCamera) dismiss()
    }

    fun dismiss() = update { it.copy(problem = null) }

    fun report(problem: Problem) {
        main.post { update { it.copy(problem = problem) } }
    }

    /** Whether a frame that came now would be classified; if so, [frame] must follow. */
    fun wantsFrame(): Boolean = state.photo == null && gate.enter()

    fun frame(image: RgbImage) = work {
        try {
            if (state.photo == null) answer(image)
        } finally {
            gate.leave()
        }
    }

    fun close() {
        screen = null
        main.removeCallbacksAndMessages(null)
        worker.execute {
            classifier?.close()
            classifier = null
        }
        worker.shutdown()
    }

    private fun answer(image: RgbImage) {
        val used = classifier ?: return
        val answer = used.classify(image)
        val scores = top(answer.probabilities, used.model.labels, SHOWN)
        deliver { it.copy(scores = scores, preprocessMs = answer.preprocessMs, inferenceMs = answer.inferenceMs) }
    }

    private fun work(name: String = state.selected.orEmpty(), task: () -> Unit) {
        worker.execute {
            try {
                task()
            } catch (error: ModelException) {
                deliver { it.copy(loading = false, problem = Problem.BadModel(name, error)) }
            }
        }
    }

    private fun deliver(change: (LiveState) -> LiveState) {
        main.post { update(change) }
    }

    private fun update(change: (LiveState) -> LiveState) {
        state = change(state)
        screen?.invoke(state)
    }

    private companion object {
        const val SHOWN = 3
    }
}
