"""What records say: `metrics` (pass@k, votes, AUROC, first errors), `intervals`, and `tables` of both."""
