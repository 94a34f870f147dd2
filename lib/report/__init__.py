"""What readers see: `pages` (report.html), `plots` (figures), `viewer` (heatmaps: tokens by their reward)."""
