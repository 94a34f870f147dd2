"""Traces as text and tokens: `traces` (their format), `perturb` (near misses of an expert), `chat` (prompts
and completions as models read them), `alignment` (which step a token is in)."""
