"""What records say: `metrics` (pass@k, majority vote, AUROC, first errors), `intervals`, and the `tables`."""
