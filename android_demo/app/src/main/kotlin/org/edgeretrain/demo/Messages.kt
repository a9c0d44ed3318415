package org.edgeretrain.demo

import android.content.Context
import org.edgeretrain.demo.core.Fault
import org.edgeretrain.demo.core.ModelException

/** The sentence that tells a user what is wrong and what to do. */
fun Problem.sentence(context: Context): String = when (this) {
    Problem.NoModels -> context.getString(R.string.no_models)
    Problem.NoCamera -> context.getString(R.string.no_camera)
    Problem.NoPermission -> context.getString(R.string.no_permission)
    Problem.BadPhoto -> context.getString(R.string.bad_photo)
    is Problem.BadModel -> context.getString(R.string.bad_model, name, error.sentence(context))
}

fun ModelException.sentence(context: Context): String = when (fault) {
    Fault.UNREADABLE -> context.getString(R.string.fault_unreadable)
    Fault.TOO_LARGE -> context.getString(R.string.fault_too_large, detail)
    Fault.NOT_TFLITE -> context.getString(R.string.fault_not_tflite)
    Fault.DAMAGED -> context.getString(R.string.fault_damaged, detail)
    Fault.NOT_IMAGE -> context.getString(R.string.fault_not_image, detail)
    Fault.WRONG_TYPE -> context.getString(R.string.fault_wrong_type, detail)
    Fault.LABEL_COUNT -> context.getString(R.string.fault_label_count, detail)
    Fault.NEWER -> context.getString(R.string.fault_newer, detail)
    Fault.REFUSED -> context.getString(R.string.fault_refused, detail)
}
