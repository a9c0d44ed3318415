package org.edgeretrain.demo.core

/** Why a file cannot be used; the screen has a sentence for each. */
enum class Fault { UNREADABLE, TOO_LARGE, NOT_TFLITE, DAMAGED, NOT_IMAGE, WRONG_TYPE, LABEL_COUNT, NEWER, REFUSED }

/** A model file that cannot be used, because of [fault]; [detail] is what was found. */
class ModelException(val fault: Fault, val detail: String = "", cause: Throwable? = null) :
    Exception("$fault: $detail", cause)
