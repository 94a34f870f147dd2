"""Runs the study: `params` (parameters, profiles), `execute` (a notebook as a stage), `recording`."""
