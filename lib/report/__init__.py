"""What readers see: `pages` (report.html), `plots` (the figures), `viewer` (heatmaps of tokens by reward)."""
