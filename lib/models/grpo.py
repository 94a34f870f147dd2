"""TRL's GRPO trainer for small machines: it can be taken up again, samples fast, and reads prompts once."""

from pathlib import Path

from trl import GRPOTrainer
from trl.models import unwrap_model_for_generation

from lib.models import checkpoints, generation, likelihood


class Trainer(GRPOTrainer):
    """GRPO whose losses are TRL's, sampled by `generation.generate` unless vLLM samples.

    A resumed training shuffles its questions as the killed one would have: TRL's sampler shuffles anew each
    epoch and starts over when it is made.
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
