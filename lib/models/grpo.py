"""TRL's GRPO trainer for small machines: it can be resumed, samples fast, reads only what it learns from."""

from pathlib import Path

import torch
from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import split_tensor_dict

from lib.models import checkpoints, generation, likelihood


class Trainer(GRPOTrainer):
    """GRPO whose losses are TRL's, sampled by `generation.generate` unless vLLM samples.

    A resumed training shuffles its questions as the killed one would have: TRL's sampler shuffles anew each
    epoch and starts over when it is made.

    In one process, completions that have no advantage and no KL to pay are not read: what is logged of a step
    but its loss, such as the entropy, is of those that are.
    """

    resumed_from: Path | None = None

    def train(self, resume_from_checkpoint=None, **kwargs):
        self.resumed_from = resume_from_checkpoint and Path(resume_from_checkpoint)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _get_train_sampler(self, dataset=None):
        sampler = super()._get_train_sampler(dataset)
        for _ in range(checkpoints.epochs(self.resumed_from) if self.resumed_from else 0):
            next(iter(sampler))  # draws the order of an epoch
        return sampler

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        if self.use_vllm:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)
        with (
            unwrap_model_for_generation(self.model_wrapped, self.accelerator) as model,
            self._dist.summon_full_params(self.model_wrapped, recurse=False),
        ):
            completions = generation.generate(
                model,
                self.processing_class,
                prompt_ids,
                temperature=self.temperature,
                max_new_tokens=self.max_completion_length,
                batch_size=len(prompt_ids),
            )
        return completions, None

    def _prepare_inputs(self, generation_batch):
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        if self._buffered_inputs is before or len(self._buffered_inputs) == 1:
            return inputs
        self._buffered_inputs = by_prompt(self._buffered_inputs)
        return self._buffered_inputs[self._step % len(self._buffered_inputs)]

    def _compute_loss(self, model, inputs):
        if self.accelerator.num_processes > 1 or self.beta or inputs["advantages"].any():
            return super()._compute_loss(model, inputs)
        return sum((0 * p).sum() for p in model.parameters() if p.requires_grad)  # gradients of 0, as TRL's

    def _get_per_token_logps_and_entropies(
        self,
        model,
        input_ids,
        attention_mask,
        logits_to_keep,
        batch_size=None,
        compute_entropy=False,
        **kwargs,
    ):
        rows = model, input_ids, attention_mask, logits_to_keep
        if self.accelerator.num_processes > 1:  # the model is wrapped, and has to be called as a whole
            return super()._get_per_token_logps_and_entropies(*rows, batch_size, compute_entropy, **kwargs)
        with self.accelerator.autocast():
            found = likelihood.of_tokens(*rows, entropies=compute_entropy, temperature=self.temperature)
        return found.log_probs_BT, found.entropies_BT, None


def by_prompt(micro_batches: list[dict]) -> list[dict]:
    """The same rows, those of a prompt together by length, and last those without an advantage.

    TRL shuffles a step's completions before it takes a few at a time, so that each comes with its own prompt.
    """
    whole = {
        key: torch.cat([some[key] for some in micro_batches]) if _has_rows(value) else value
        for key, value in micro_batches[0].items()
    }
    rows = range(len(whole["advantages"]))
    learnt_B = whole["advantages"].reshape(len(rows), -1).any(1).tolist()  # of shape (B,) or (B, T)
    prompts, length_B = whole["prompt_ids"].tolist(), whole["completion_mask"].sum(1).tolist()
    order = sorted(rows, key=lambda i: (not learnt_B[i], prompts[i], length_B[i]))
    ordered = {key: value[order] if _has_rows(value) else value for key, value in whole.items()}
    return split_tensor_dict(ordered, len(micro_batches))


def _has_rows(value) -> bool:
    return torch.is_tensor(value) and value.ndim > 0
