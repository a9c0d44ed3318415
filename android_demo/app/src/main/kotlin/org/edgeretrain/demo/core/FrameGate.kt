package org.edgeretrain.demo.core

import java.util.concurrent.atomic.AtomicBoolean

/** Lets one frame in at a time; whoever comes meanwhile is turned away, so that frames are dropped and never queued. */
class FrameGate {
    private val busy = AtomicBoolean()

    fun enter(): Boolean = busy.compareAndSet(false, true)

    fun leave() = busy.set(false)
}
