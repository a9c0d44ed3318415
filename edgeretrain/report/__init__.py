"""Results as one offline HTML page each: inline SVG, no script, readable in dark and light and on paper."""
