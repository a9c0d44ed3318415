package org.edgeretrain.demo.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class JsonTest {

    @Test
    fun `what is written is read back`() {
        val value = mapOf(
            "text" to "a \"quoted\" \\ line\nчто угодно",
            "numbers" to listOf(0L, -12L, 1.5, 1e-7),
            "nothing" to null,
            "truth" to listOf(true, false),
            "empty" to mapOf<String, Any?>(),
        )
        assertEquals(value, Json.parse(Json.write(value)))
    }

    @Test
    fun `escapes and white space are read`() {
        assertEquals(mapOf("a/b" to listOf("é\t\u0007")), Json.parse(" { \"a\\/b\" : [ \"\\u00e9\\t\\u0007\" ] } "))
    }

    @Test
    fun `what is not JSON is refused with its place`() {
        val broken = listOf(
            "", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"\\x\"", "\"a", "[", "\"\\u12\"", "{1:2}", "-",
            "\"\u0001\"",
        )
        for (text in broken) {
            val error = assertThrows(text, IllegalArgumentException::class.java) { Json.parse(text) }
            assert(error.message!!.startsWith("not JSON at character ")) { error.message!! }
        }
    }

    @Test
    fun `deep nesting is refused before it fills the stack`() {
        val error = assertThrows(IllegalArgumentException::class.java) { Json.parse("[".repeat(100_000)) }
        assertEquals("not JSON at character 65", error.message)
    }

    @Test
    fun `values that JSON does not have are refused`() {
        assertEquals(
            "no JSON for NaN",
            assertThrows(IllegalArgumentException::class.java) { Json.write(Double.NaN) }.message,
        )
        assertEquals(
            "no JSON for class java.lang.Object",
            assertThrows(IllegalArgumentException::class.java) { Json.write(Any()) }.message,
        )
    }
}
