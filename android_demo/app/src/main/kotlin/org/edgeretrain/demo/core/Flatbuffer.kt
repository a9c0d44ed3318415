package org.edgeretrain.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A table of a flatbuffer. Every read is bounds-checked by [ByteBuffer]: a damaged file throws and never crashes. */
internal class Table(private val data: ByteBuffer, private val position: Int) {

    private val vtable = position - data.getInt(position)
    private val vtableSize = data.getShort(vtable).toInt() and 0xFFFF

    private fun field(slot: Int): Int {
        val entry = 4 + 2 * slot
        if (entry + 2 > vtableSize) return 0
        val offset = data.getShort(vtable + entry).toInt() and 0xFFFF
        return if (offset == 0) 0 else position + offset
    }

    private fun follow(at: Int): Int = at + data.getInt(at)

    fun byte(slot: Int): Int = field(slot).let { if (it == 0) 0 else data.get(it).toInt() }

    fun uint(slot: Int): Int = field(slot).let { if (it == 0) 0 else data.getInt(it) }

    fun child(slot: Int): Table? = field(slot).let { if (it == 0) null else Table(data, follow(it)) }

    fun string(slot: Int): String = String(bytes(slot), Charsets.UTF_8)

    fun bytes(slot: Int): ByteArray {
        val (start, length) = vector(slot, 1)
        return ByteArray(length).also { for (i in it.indices) it[i] = data.get(start + i) }
    }

    fun ints(slot: Int): IntArray = vector(slot, 4).let { (start, n) -> IntArray(n) { data.getInt(start + 4 * it) } }

    fun floats(slot: Int): FloatArray =
        vector(slot, 4).let { (start, n) -> FloatArray(n) { data.getFloat(start + 4 * it) } }

    fun longs(slot: Int): LongArray = vector(slot, 8).let { (start, n) -> LongArray(n) { data.getLong(start + 8 * it) } }

    fun tables(slot: Int): List<Table> =
        vector(slot, 4).let { (start, n) -> List(n) { Table(data, follow(start + 4 * it)) } }

    /** First byte and length of the vector in [slot], which lies wholly within the file. */
    private fun vector(slot: Int, size: Int): Pair<Int, Int> {
        val at = field(slot)
        if (at == 0) return 0 to 0
        val start = follow(at)
        val length = data.getInt(start)
        if (start < 0 || length < 0 || start + 4 + length.toLong() * size > data.limit()) {
            throw IndexOutOfBoundsException("a vector reaches past the end")
        }
        return start + 4 to length
    }

    companion object {
        fun root(bytes: ByteArray): Table {
            val data = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
            return Table(data, data.getInt(0))
        }
    }
}
