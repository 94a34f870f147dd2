"""Questions with expert traces: `world` (by a program), `corpora` (published), `splits` (who gets what)."""
