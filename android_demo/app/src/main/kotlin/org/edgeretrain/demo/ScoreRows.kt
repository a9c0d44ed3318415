package org.edgeretrain.demo

import android.view.View
import android.view.ViewGroup
import android.widget.ProgressBar
import android.widget.TextView
import kotlin.math.roundToInt
import org.edgeretrain.demo.core.Score

/** The rows of [group] show [scores], best first; rows without a score are empty. */
fun showScores(group: ViewGroup, scores: List<Score>) {
    for (i in 0 until group.childCount) {
        val row = group.getChildAt(i)
        val score = scores.getOrNull(i)
        row.visibility = if (score == null) View.INVISIBLE else View.VISIBLE
        if (score == null) continue
        val percent = (score.probability * 100).roundToInt()
        val text = row.context.getString(R.string.percent, percent)
        row.view<TextView>(R.id.score_label).text = score.label
        row.view<ProgressBar>(R.id.score_bar).progress = percent
        row.view<TextView>(R.id.score_percent).text = text
        row.contentDescription = row.context.getString(R.string.score_spoken, score.label, text)
    }
}
