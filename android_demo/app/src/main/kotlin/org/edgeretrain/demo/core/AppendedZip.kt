package org.edgeretrain.demo.core

import java.io.ByteArrayOutputStream
import java.util.zip.CRC32
import java.util.zip.Inflater

/** The ZIP that stands behind a flatbuffer: [start] is where it begins, [files] are its contents by name. */
internal class AppendedZip(val start: Int, val files: Map<String, ByteArray>) {

    companion object {
        private const val END = 0x06054b50
        private const val ENTRY = 0x02014b50
        private const val LOCAL = 0x04034b50
        private const val END_SIZE = 22
        private const val ENTRY_SIZE = 46
        private const val LOCAL_SIZE = 30
        private const val STORED = 0
        private const val DEFLATED = 8
        private const val MAX_FILE = 64 shl 20

        /** Read the ZIP at the end of [data]; without one the result is empty. Throws for a damaged one. */
        fun of(data: ByteArray): AppendedZip {
            val end = findEnd(data) ?: return AppendedZip(data.size, emptyMap())
            val count = data.u16(end + 10)
            val size = data.i32(end + 12)
            // Some writers count offsets from the start of the file, some from the start of the ZIP
            val shift = end - size - data.i32(end + 16)
            val files = LinkedHashMap<String, ByteArray>()
            var start = end
            var at = end - size
            repeat(count) {
                require(data.i32(at) == ENTRY) { "no entry at $at" }
                val name = String(data, at + ENTRY_SIZE, data.u16(at + 28), Charsets.UTF_8)
                val local = data.i32(at + 42) + shift
                files[name] = read(data, at, local)
                start = minOf(start, local)
                at += ENTRY_SIZE + data.u16(at + 28) + data.u16(at + 30) + data.u16(at + 32)
            }
            return AppendedZip(start, files)
        }

        private fun findEnd(data: ByteArray): Int? {
            val first = maxOf(0, data.size - END_SIZE - 0xFFFF)
            return (data.size - END_SIZE downTo first).firstOrNull {
                data.i32(it) == END && it + END_SIZE + data.u16(it + 20) == data.size
            }
        }

        private fun read(data: ByteArray, entry: Int, local: Int): ByteArray {
            require(data.i32(local) == LOCAL) { "no file at $local" }
            val packed = data.i32(entry + 20)
            val size = data.i32(entry + 24)
            require(size in 0..MAX_FILE) { "a file of $size bytes" }
            val from = local + LOCAL_SIZE + data.u16(local + 26) + data.u16(local + 28)
            val content = when (val method = data.u16(entry + 10)) {
                STORED -> data.copyOfRange(from, from + size)
                DEFLATED -> inflate(data.copyOfRange(from, from + packed), size)
                else -> throw IllegalArgumentException("compression $method")
            }
            require(CRC32().apply { update(content) }.value.toInt() == data.i32(entry + 16)) { "a wrong checksum" }
            return content
        }

        private fun inflate(packed: ByteArray, size: Int): ByteArray {
            val inflater = Inflater(true).apply { setInput(packed) }
            try {
                val out = ByteArrayOutputStream(size)
                val chunk = ByteArray(8192)
                while (out.size() <= size && !inflater.finished()) {
                    val n = inflater.inflate(chunk)
                    require(n > 0 || inflater.finished()) { "truncated data" }
                    out.write(chunk, 0, n)
                }
                require(out.size() == size) { "a wrong size" }
                return out.toByteArray()
            } finally {
                inflater.end()
            }
        }

        private fun ByteArray.u16(at: Int) = (this[at].toInt() and 0xFF) or (this[at + 1].toInt() and 0xFF shl 8)

        private fun ByteArray.i32(at: Int) = u16(at) or (u16(at + 2) shl 16)
    }
}
