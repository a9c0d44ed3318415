package org.edgeretrain.demo

import android.app.Activity
import android.view.View

/** The view [id] of a layout that is known to have it. */
fun <T : View> Activity.view(id: Int): T = findViewById<T>(id)!!

fun <T : View> View.view(id: Int): T = findViewById<T>(id)!!
