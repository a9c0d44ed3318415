package org.edgeretrain.demo.core

import java.io.File
import javax.xml.parsers.DocumentBuilderFactory
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.w3c.dom.Element

/** Rules about the app's sources that no compiler checks. */
class SourcesTest {

    private val sources = File(System.getProperty("sources")!!)

    @Test
    fun `the core needs no Android`() {
        val files = File(sources, "kotlin/org/edgeretrain/demo/core").listFiles()!!
        assertTrue(files.size > 10)
        val imports = files.flatMap { it.readLines() }.filter { it.startsWith("import ") }
        assertEquals(emptyList<String>(), imports.filterNot { Regex("import (java|kotlin)\\..*").matches(it) })
    }

    @Test
    fun `Russian has the same strings with the same arguments`() {
        val english = strings("values")
        val russian = strings("values-ru")
        assertEquals(english.keys, russian.keys)
        for ((name, text) in english) assertEquals(name, arguments(text), arguments(russian.getValue(name)))
    }

    @Test
    fun `layouts hold no text of their own`() {
        val layouts = listOf("layout", "layout-land").flatMap { File(sources, "res/$it").listFiles()!!.toList() }
        assertTrue(layouts.size >= 8)
        val literal = Regex("android:(text|contentDescription|hint)=\"(?!@string/)[^\"]*\"")
        for (layout in layouts) {
            val found = literal.findAll(layout.readText()).map { it.value }.toList()
            assertEquals(layout.name, emptyList<String>(), found)
        }
    }

    private fun strings(folder: String): Map<String, String> {
        val file = File(sources, "res/$folder/strings.xml")
        val root = DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).documentElement
        val nodes = root.childNodes
        return (0 until nodes.length).mapNotNull { nodes.item(it) as? Element }
            .associate { it.getAttribute("name") to it.textContent }
    }

    private fun arguments(text: String) = Regex("%\\d\\$[^a-z]*[a-z]").findAll(text).map { it.value }.toSortedSet()
}
