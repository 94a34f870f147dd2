"""Traces as text and tokens: `traces` (the format), `perturb` (near misses), `equations`, `chat` (prompts,
completions), `templates` (the hub's tokenizers), `alignment` (tokens, steps)."""
