package org.edgeretrain.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.net.Uri
import android.os.Bundle
import android.view.Surface
import android.view.TextureView
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ImageView
import android.widget.Spinner
import android.widget.TextView

/** The main screen: the live camera or a picked photo, and what the chosen model sees in it. */
class MainActivity : Activity(), TextureView.SurfaceTextureListener {

    private lateinit var presenter: LivePresenter
    private lateinit var camera: CameraController
    private lateinit var texture: TextureView
    private lateinit var picker: Spinner
    private var resumed = false
    private var asked = false

    /** Whether this screen holds the camera. */
    val usesCamera: Boolean get() = camera.isOpen

    @Suppress("DEPRECATION") // what keeps the presenter through a rotation
    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.activity_main)
        val kept = lastNonConfigurationInstance as LivePresenter?
        presenter = kept ?: LivePresenter(ModelStore(applicationContext), LiteRtNetwork)
        camera = CameraController(this, presenter::wantsFrame, presenter::frame) { presenter.report(Problem.NoCamera) }
        texture = view(R.id.preview)
        texture.surfaceTextureListener = this
        picker = view(R.id.model_picker)
        picker.onItemSelectedListener = Picked()
        view<Button>(R.id.button_photo).setOnClickListener { photoOrCamera() }
        view<Button>(R.id.button_card).setOnClickListener { show(CardActivity::class.java) }
        view<Button>(R.id.button_benchmark).setOnClickListener { show(BenchmarkActivity::class.java) }
        view<View>(R.id.message).setOnClickListener { presenter.dismiss() }
        presenter.attach(::render)
        if (kept == null) take(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        take(intent)
    }

    override fun onResume() {
        super.onResume()
        resumed = true
        openCamera()
    }

    override fun onPause() {
        resumed = false
        camera.close()
        super.onPause()
    }

    override fun onDestroy() {
        presenter.detach()
        if (!isChangingConfigurations) presenter.close()
        super.onDestroy()
    }

    @Deprecated("the platform's way without a library")
    override fun onRetainNonConfigurationInstance(): Any = presenter

    /** Use the model that another app or `adb` names. */
    private fun take(intent: Intent) {
        val named = intent.getStringExtra(EXTRA_MODEL)
        presenter.refresh(named ?: lastUsed(), again = named != null)
        intent.data?.takeIf { intent.action == Intent.ACTION_VIEW }?.let(presenter::open)
    }

    private fun lastUsed() = getPreferences(MODE_PRIVATE).getString(EXTRA_MODEL, null)

    private fun render(state: LiveState) {
        showModels(state)
        val image = view<ImageView>(R.id.photo)
        image.setImageBitmap(state.photo)
        image.visibility = if (state.photo == null) View.GONE else View.VISIBLE
        view<Button>(R.id.button_photo).setText(if (state.photo == null) R.string.photo else R.string.camera)
        val message = view<TextView>(R.id.message)
        message.text = state.problem?.sentence(this) ?: if (state.loading) getString(R.string.loading) else ""
        message.visibility = if (message.text.isEmpty()) View.GONE else View.VISIBLE
        showScores(view(R.id.scores), state.scores)
        view<TextView>(R.id.times).text =
            if (state.scores.isEmpty()) "" else getString(R.string.times, state.preprocessMs, state.inferenceMs)
        val usable = state.selected != null && state.problem !is Problem.BadModel
        view<View>(R.id.button_card).isEnabled = usable
        view<View>(R.id.button_benchmark).isEnabled = usable
    }

    private fun showModels(state: LiveState) {
        val shown = (0 until picker.count).map(picker::getItemAtPosition)
        if (shown != state.models) {
            picker.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, state.models)
        }
        val position = state.models.indexOf(state.selected)
        if (position >= 0 && position != picker.selectedItemPosition) picker.setSelection(position)
    }

    private fun show(screen: Class<out Activity>) =
        startActivity(Intent(this, screen).putExtra(EXTRA_MODEL, presenter.state.selected))

    private fun photoOrCamera() {
        if (presenter.state.photo != null) {
            presenter.showCamera()
            openCamera()
        } else {
            val pick = Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
            startActivityForResult(Intent.createChooser(pick, getString(R.string.photo)), REQUEST_PHOTO)
        }
    }

    @Deprecated("the platform's way without a library")
    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val uri: Uri? = data?.data
        if (request == REQUEST_PHOTO && result == RESULT_OK && uri != null) presenter.showPhoto(contentResolver, uri)
    }

    private fun openCamera() {
        if (!resumed || presenter.state.photo != null) return
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            askForCamera()
            return
        }
        presenter.cameraAllowed()
        texture.surfaceTexture?.let { camera.open(it, displayDegrees()) }
        fitPreview()
    }

    /** Once only: the answer resumes the screen, and asking again there would never end. */
    private fun askForCamera() {
        if (!asked) requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST_CAMERA)
        asked = true
    }

    override fun onRequestPermissionsResult(request: Int, permissions: Array<String>, results: IntArray) {
        if (results.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            openCamera()
        } else {
            presenter.report(Problem.NoPermission)
        }
    }

    @Suppress("DEPRECATION") // Context.getDisplay needs Android 11
    private fun displayDegrees() = when (windowManager.defaultDisplay.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    private fun fitPreview() {
        val frame = camera.frameSize ?: return
        texture.setTransform(previewTransform(texture.width, texture.height, frame, displayDegrees()))
    }

    override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = openCamera()

    override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = fitPreview()

    override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean {
        camera.close()
        return true
    }

    override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit

    private inner class Picked : AdapterView.OnItemSelectedListener {
        override fun onItemSelected(parent: AdapterView<*>, view: View?, position: Int, id: Long) {
            val name = parent.getItemAtPosition(position) as String
            if (name == presenter.state.selected) return
            presenter.select(name)
            getPreferences(MODE_PRIVATE).edit().putString(EXTRA_MODEL, name).apply()
        }

        override fun onNothingSelected(parent: AdapterView<*>) = Unit
    }

    companion object {
        const val EXTRA_MODEL = "model"
        private const val REQUEST_PHOTO = 1
        private const val REQUEST_CAMERA = 2
    }
}
