package org.edgeretrain.demo.core

/**
 * JSON as plain Kotlin values: Map, List, String, Double, Long, Boolean, null.
 *
 * The platform's org.json is not there on a plain JVM, where the same code is tested.
 */
object Json {

    /** Throws [IllegalArgumentException] for anything that is not one JSON value. */
    fun parse(text: String): Any? = Parser(text).document()

    fun write(value: Any?): String = StringBuilder().also { write(value, it) }.toString()

    private fun write(value: Any?, out: StringBuilder) {
        when (value) {
            is Map<*, *> -> value.entries.joinTo(out, ",", "{", "}") { "${write(it.key.toString())}:${write(it.value)}" }
            is Iterable<*> -> value.joinTo(out, ",", "[", "]") { write(it) }
            is String -> quote(value, out)
            is Float, is Double -> out.append(number((value as Number).toDouble()))
            null, is Boolean, is Number -> out.append(value)
            else -> throw IllegalArgumentException("no JSON for ${value.javaClass}")
        }
    }

    private fun number(value: Double): String {
        require(value.isFinite()) { "no JSON for $value" }
        return value.toString()
    }

    private fun quote(text: String, out: StringBuilder) {
        out.append('"')
        for (c in text) {
            when {
                c == '"' || c == '\\' -> out.append('\\').append(c)
                c < ' ' -> out.append("\\u%04x".format(c.code))
                else -> out.append(c)
            }
        }
        out.append('"')
    }

    private class Parser(private val text: String) {
        private var at = 0

        fun document(): Any? {
            val value = value(0)
            space()
            if (at != text.length) fail()
            return value
        }

        private fun value(depth: Int): Any? {
            if (depth > MAX_DEPTH) fail()
            space()
            return when (peek()) {
                '{' -> map(depth)
                '[' -> list(depth)
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun map(depth: Int): Map<String, Any?> {
            val result = LinkedHashMap<String, Any?>()
            items('}') {
                space()
                if (peek() != '"') fail()
                val key = string()
                space()
                expect(':')
                result[key] = value(depth + 1)
            }
            return result
        }

        private fun list(depth: Int): List<Any?> {
            val result = ArrayList<Any?>()
            items(']') { result += value(depth + 1) }
            return result
        }

        private fun items(close: Char, item: () -> Unit) {
            at++
            space()
            if (peek() == close) {
                at++
                return
            }
            while (true) {
                item()
                space()
                if (peek() == close) break
                expect(',')
            }
            at++
        }

        private fun string(): String {
            val out = StringBuilder()
            at++
            while (peek() != '"') {
                val c = next()
                if (c < ' ') fail()
                out.append(if (c == '\\') escape() else c)
            }
            at++
            return out.toString()
        }

        private fun escape(): Char = when (val c = next()) {
            '"', '\\', '/' -> c
            'b' -> '\b'
            'f' -> '\u000C'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                if (at + 4 > text.length) fail()
                val code = text.substring(at, at + 4).toIntOrNull(16) ?: fail()
                at += 4
                code.toChar()
            }
            else -> fail()
        }

        private fun number(): Number {
            val start = at
            while (at < text.length && text[at] in "+-.0123456789Ee") at++
            val token = text.substring(start, at)
            return token.toLongOrNull() ?: token.toDoubleOrNull() ?: fail()
        }

        private fun word(word: String, value: Any?): Any? {
            if (!text.startsWith(word, at)) fail()
            at += word.length
            return value
        }

        private fun space() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail()

        private fun next(): Char = peek().also { at++ }

        private fun expect(c: Char) {
            if (next() != c) fail()
        }

        private fun fail(): Nothing = throw IllegalArgumentException("not JSON at character $at")
    }

    private const val MAX_DEPTH = 64
}
