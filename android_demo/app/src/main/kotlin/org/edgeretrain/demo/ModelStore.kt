package org.edgeretrain.demo

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import java.io.IOException
import java.io.InputStream
import org.edgeretrain.demo.core.Fault
import org.edgeretrain.demo.core.ModelException
import org.edgeretrain.demo.core.ModelFile

/**
 * The models that the app has, by file name: those in the APK's assets, those pushed by `edgeretrain deploy --adb`, and
 * those opened from other apps. Of equal names the latest way in wins.
 */
class ModelStore(private val context: Context) {

    private val opened = File(context.filesDir, FOLDER)
    private val pushed get() = context.getExternalFilesDir(FOLDER)

    fun names(): List<String> =
        (assets() + listOfNotNull(opened, pushed).flatMap { it.list()?.toList().orEmpty() })
            .filter { it.endsWith(SUFFIX) }
            .distinct()
            .sorted()

    /** Throws [ModelException]. */
    fun load(name: String): ModelFile = try {
        ModelFile.parse(name, open(name).use(::readAll))
    } catch (error: IOException) {
        throw ModelException(Fault.UNREADABLE, name, error)
    }

    /** Keep a copy of the model at [uri], if it is one, and return its name. Throws [ModelException]. */
    fun import(uri: Uri): String {
        val name = safeName(displayName(uri))
        try {
            val source = context.contentResolver.openInputStream(uri) ?: throw IOException("$uri gives nothing")
            val data = source.use(::readAll)
            ModelFile.parse(name, data)
            opened.mkdirs()
            val aside = File(opened, "$name.partial")
            aside.writeBytes(data)
            if (!aside.renameTo(File(opened, name))) throw IOException("cannot rename $aside")
        } catch (error: IOException) {
            throw ModelException(Fault.UNREADABLE, name, error)
        } catch (error: SecurityException) { // the other app takes its permission back when it ends
            throw ModelException(Fault.UNREADABLE, name, error)
        }
        return name
    }

    private fun assets() = context.assets.list(FOLDER)?.toList().orEmpty()

    private fun open(name: String): InputStream =
        listOfNotNull(opened, pushed).map { File(it, name) }.firstOrNull(File::isFile)?.inputStream()
            ?: context.assets.open("$FOLDER/$name")

    private fun readAll(stream: InputStream): ByteArray {
        val data = java.io.ByteArrayOutputStream()
        val chunk = ByteArray(1 shl 16)
        while (true) {
            val n = stream.read(chunk)
            if (n < 0) return data.toByteArray()
            data.write(chunk, 0, n)
            if (data.size() > ModelFile.MAX_BYTES) {
                throw ModelException(Fault.TOO_LARGE, "> ${ModelFile.MAX_BYTES shr 20} MiB")
            }
        }
    }

    private fun displayName(uri: Uri): String {
        if (uri.scheme == "content") {
            context.contentResolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
                if (it.moveToFirst()) it.getString(0)?.let { name -> return name }
            }
        }
        return uri.lastPathSegment.orEmpty()
    }

    companion object {
        const val FOLDER = "models"
        private const val SUFFIX = ".tflite"

        /** A file name from whatever another app calls its file: no folders, no surprises. */
        fun safeName(name: String): String {
            val plain = name.substringAfterLast('/').removeSuffix(SUFFIX).replace(Regex("[^\\p{L}\\p{N}._-]"), "_")
            return plain.trimStart('.').take(80).ifEmpty { "model" } + SUFFIX
        }
    }
}
