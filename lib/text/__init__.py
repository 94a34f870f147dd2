"""Traces as text and tokens: `traces` (the format), `perturb` (near misses), `alignment` (tokens, steps)."""
