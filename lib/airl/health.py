"""Notices a training run that has degenerated, so that it stops and is recorded as such."""

PINNED_STEPS = 50  # steps in a row with a discriminator that is always right
TRUNCATED_STEPS = 10  # steps in a row in which no completion ended


class Health:
    """Watches a run step by step."""

    def __init__(self):
        self._pinned = self._truncated = 0

    def fault(self, *, accuracies: list[float], truncated: float) -> str | None:
        """What is wrong with the run after this step, or None.

        `accuracies` of the discriminator on each class, none if it took no step; `truncated`: the fraction
        of the policy's completions that did not end.
        """
        self._pinned = self._pinned + 1 if accuracies and min(accuracies) == 1.0 else 0
        self._truncated = self._truncated + 1 if truncated == 1.0 else 0
        if self._truncated >= TRUNCATED_STEPS:
            return f"no completion ended for {TRUNCATED_STEPS} steps; lower lr or raise max_new_tokens"
        if self._pinned >= PINNED_STEPS:
            return (
                f"the discriminator was always right for {PINNED_STEPS} steps and has nothing left to "
                "teach; lower discriminator_lr or raise label_smoothing"
            )
        return None
