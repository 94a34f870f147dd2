"""Adversarial inverse reinforcement learning as a subclass of TRL's GRPO trainer.

Per step, with an expert demonstration of each of the batch's questions:
  1. the policy samples a group of completions a question (GRPO, untouched);
  2. the discriminator takes a step on the experts, some of these samples, and perturbed experts;
  3. its logits at the boundaries become per-token advantages (`lib.airl.credit`);
  4. the policy takes GRPO's step on these advantages.
Departures from the paper (arXiv 2510.01857): returns by a backward recursion; perturbed traces keep
their own question, and one that changes nothing is never used; the discriminator's batch is padded
to its own longest row and holds `policy_per_prompt` samples of a group, not all.
"""

import random

import torch
from accelerate.utils import gather_object
from sklearn.metrics import roc_auc_score

from lib.airl import batches, credit, discriminator, objective
from lib.airl.batches import Row
from lib.airl.health import Health
from lib.models import checkpoints, grpo
from lib.text import alignment, chat

KL_EVERY = 5  # steps between two estimates of the KL to the backbone; each costs two small forwards


class AIRLTrainer(grpo.Trainer):
    """GRPO whose advantages come from a discriminator that is trained alongside.

    The dataset has the columns `prompt`, `answer` (logged as pass rate; it reaches the reward only
    under `relabel_correct`) and `trace`, the expert's completion, empty where a question has none: there
    the discriminator is shown the demonstration of another question. `settings` is the AIRL section of
    the parameters; `reward_model` a discriminator of `lib.airl.discriminator`, sharing the tokenizer.
    A run that degenerates stops, and `fault` says why. On several processes each has the samples of its own
    questions, whole groups, and the discriminator the mean of all their gradients. Raises ValueError if a
    process would have part of a group, and once a reward is not finite.
    """

    def __init__(self, *, reward_model, settings, **kwargs):
        super().__init__(**kwargs)
        own = self.args.per_device_train_batch_size * self.args.steps_per_generation
        if own % self.num_generations:
            raise ValueError("airl.group_size: each process needs whole groups; train on fewer processes")
        self.reward_model = reward_model.to(self.accelerator.device)
        self.settings = settings
        self._random = random.Random(self.args.seed)
        self._parameters = list(reward_model.trained().values())
        self._optimizer = torch.optim.AdamW(self._parameters, lr=settings.discriminator_lr, weight_decay=0.0)
        self._scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimizer, max(settings.discriminator_steps * settings.discriminator_updates, 1)
        )
        self.fault: str | None = None
        self._health = Health()
        self._experts: list[list[int]] = []  # of the batch's questions; empty where there is none
        self._demonstrations = [row for row in self.train_dataset if row["trace"]]

    def _generate(self, prompts):
        """GRPO's sampling; with `expert_in_group` the expert takes the place of each group's last sample."""
        result = list(super()._generate(prompts))
        for row in self._expert_rows(len(prompts)):
            result[1][row] = self._experts[row // self.num_generations]
            text = self.processing_class.decode(result[1][row], skip_special_tokens=True)
            result[3][row] = [{"role": "assistant", "content": text}]
        return tuple(result)

    def _expert_rows(self, size: int) -> list[int]:
        """The rows of a batch that hold an expert."""
        if not (self.settings.expert_in_group and self.model.training):
            return []
        last_rows = range(self.num_generations - 1, size, self.num_generations)
        return [row for row in last_rows if self._experts[row // self.num_generations]]

    def _own_rows(self, size: int) -> list[int]:
        """The rows of a batch that hold a sample of the policy."""
        expert_rows = set(self._expert_rows(size))
        return [row for row in range(size) if row not in expert_rows]

    def _generate_and_score_completions(self, inputs):
        training, settings = self.model.training, self.settings
        G = self.num_generations if training else self.num_generations_eval
        self._experts = [chat.completion_ids(self.processing_class, row["trace"]) for row in inputs[::G]]
        output = super()._generate_and_score_completions(inputs)
        mask_BT = output["completion_mask"].bool()
        prompts = alignment.unpad(output["prompt_ids"], output["prompt_mask"])
        completions = alignment.unpad(output["completion_ids"], mask_BT)
        finished_B = mask_BT.new_tensor(alignment.finished(completions, self.eos_token_ids))
        accuracies = []
        if training and self.state.global_step < settings.discriminator_steps:
            for _ in range(settings.discriminator_updates):
                accuracies = self._update_discriminator(inputs, prompts, completions)

        units = [alignment.units_of_tokens(self.processing_class, ids) for ids in completions]
        _, answer_BT, step_ends_BT = alignment.unit_masks(units, mask_BT.shape[1])
        boundaries_BT = credit.boundaries(
            settings.boundaries, mask_BT, settings.interval, step_ends_BT.to(mask_BT.device)
        )
        rewards_BT = self._rewards_BT(output)
        if not rewards_BT[mask_BT].isfinite().all():
            raise ValueError("airl.discriminator_lr: a reward is not finite; lower it")
        if training:
            self._stop_if_degenerate(accuracies, finished_B[self._own_rows(len(completions))])
        advantages_BT = credit.advantages(
            rewards_BT,
            boundaries_BT,
            mask_BT,
            credit=settings.credit,
            gamma=settings.gamma,
            group_size=G,
            clip=settings.reward_clip,
            answers_B=self._answers(completions, G) if settings.credit == "elected" else (),
        )
        output["advantages"] = credit.cap_truncated(advantages_BT, mask_BT, finished_B, G)
        if training and (self.fault or self.state.global_step < settings.warmup_steps):
            output["advantages"] = torch.zeros_like(output["advantages"])
        scores_B = credit.trace_score(
            rewards_BT, boundaries_BT, mask_BT, answer_BT.to(mask_BT.device), settings.score_gamma
        )
        self._record(inputs, completions, scores_B, output)
        return output

    def _answers(self, completions, G: int) -> list[int]:
        """`batches.answer_codes` of completions."""
        return batches.answer_codes(
            self.processing_class.batch_decode(completions, skip_special_tokens=True), G
        )

    @torch.no_grad()
    def _rewards_BT(self, output) -> torch.Tensor:
        """The discriminator's reward at each token."""
        ids_BL = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
        attention_BL = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
        rows = ids_BL, attention_BL, output["completion_ids"].shape[1]
        self.reward_model.eval()
        with self.reward_model.in_use():
            return discriminator.rewards_BT(self.reward_model, self.settings.reward, *rows)

    def _stop_if_degenerate(self, accuracies, finished_B) -> None:
        """Stop after this step if the run has degenerated (`fault`); `finished_B` is of own samples alone."""
        self.fault = self.fault or self._health.fault(
            accuracies=accuracies,
            truncated=1 - finished_B.sum().item() / len(finished_B),
        )
        faults = gather_object([self.fault])  # one process that stops alone would leave the others waiting
        self.fault = next((fault for fault in faults if fault), None)
        self.control.should_training_stop |= self.fault is not None

    def _update_discriminator(self, inputs, prompts, completions) -> list[float]:
        """One step of the discriminator, logged; returns its accuracy on each class."""
        chosen = self._discriminator_rows(inputs, prompts, completions)
        collated = batches.collate(self.processing_class, chosen, self.settings)
        batch = batches.Batch(*(tensor.to(self.accelerator.device) for tensor in collated))
        self.reward_model.train()
        with self.reward_model.in_use():
            loss, logits_BT = self._accumulate_gradients(batch)
        for parameter in self._parameters:
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()  # on a shared backbone the policy's trainer would count these gradients
        if self.settings.discriminator_schedule == "cosine":
            self._scheduler.step()

        logged = self._metrics["train"]
        logged["disc_loss"].append(self.accelerator.reduce(loss, "mean").item())
        found = batches.by_kind(logits_BT, batch)
        for name, (accuracy, reward) in found.items():
            logged[f"disc_accuracy_{name}"].append(accuracy)
            logged[f"reward_{name}"].append(reward)
        return [accuracy for accuracy, _ in found.values()]

    def _accumulate_gradients(self, batch: batches.Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradients of the loss of a batch, a few rows at a time where the policy's step does so.

        Returns the loss and the logits, of shape (B, T).
        """
        whole = self.args.gradient_accumulation_steps == 1
        at_once = len(batch.class_B) if whole else self.args.per_device_train_batch_size
        weights_B = objective.weights_B(batch.expert_is_one_B, batch.class_B)
        losses, logits = [], []
        for rows, some_weights_B in zip(batch.split(at_once), weights_B.split(at_once), strict=True):
            width_t = rows.boundaries_BT.shape[1]
            logits_BT = self.reward_model.logits_BT(rows.ids_BL, rows.attention_BL, width_t)
            losses_B = objective.losses_B(
                logits_BT,
                rows.boundaries_BT,
                rows.expert_is_one_B,
                kind=self.settings.loss,
                label_smoothing=self.settings.label_smoothing,
            )
            loss = (some_weights_B * losses_B).sum()
            loss.backward()
            losses.append(loss.detach())
            logits.append(logits_BT.detach())
        return sum(losses), torch.cat(logits)

    def _discriminator_rows(self, inputs, prompts, completions) -> list[Row]:
        """What the discriminator learns from: rows of some groups."""
        G, settings = self.num_generations, self.settings
        own = self._own_rows(len(completions))
        groups = [[i for i in own if i // G == group] for group in range(len(completions) // G)]
        if len(groups) > settings.discriminator_prompts:
            groups = self._random.sample(groups, settings.discriminator_prompts)
        return batches.of_groups(
            self.processing_class,
            inputs,
            prompts,
            completions,
            groups,
            demonstrations=self._demonstrations,
            settings=settings,
            rng=self._random,
        )

    def _record(self, inputs, completions, scores_B, output) -> None:
        """Log what only monitors: pass rate, length, reward AUROC against the truth, KL to the backbone."""
        logged = self._metrics["train" if self.model.training else "eval"]
        own = self._own_rows(len(completions))
        right = [batches.is_correct(self.processing_class, completions[i], inputs[i]["answer"]) for i in own]
        logged["pass_rate"].append(sum(right) / len(right))
        logged["completion_length"].append(sum(len(completions[i]) for i in own) / len(own))
        if 0 < sum(right) < len(right) and scores_B.isfinite().all():
            logged["reward_auroc"].append(roc_auc_score(right, scores_B[own].tolist()))
        if self.state.global_step % KL_EVERY == 0:
            logged["kl_to_start"].append(self._kl_to_start(output, own))

    @torch.no_grad()
    def _kl_to_start(self, output, own: list[int]) -> float:
        """Monte Carlo estimate of KL(policy || backbone), nats a completion, on the first groups' samples."""
        few = [i for i in own if i < 2 * self.num_generations]
        ids_BL = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)[few]
        attention_BL = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)[few]
        inputs = (self.model, ids_BL, attention_BL, output["completion_ids"].shape[1])
        policy_BT = self._get_per_token_logps_and_entropies(*inputs)[0]
        with self.model.disable_adapter():
            start_BT = self._get_per_token_logps_and_entropies(*inputs)[0]
        return ((policy_BT - start_BT) * output["completion_mask"][few]).sum(1).mean().item()

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            checkpoints.save_discriminator(output_dir, self.reward_model, self._optimizer, self._scheduler)
        checkpoints.save_process(output_dir, self.args.process_index, self._random, self._health)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            checkpoints.load_discriminator(checkpoint, self.reward_model, self._optimizer, self._scheduler)
            checkpoints.load_process(checkpoint, self.args.process_index, self._random, self._health)
