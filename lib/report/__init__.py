"""What readers see: `pages` (the report, from `templates`), `plots` (figures), `viewer` (coloured tokens)."""
