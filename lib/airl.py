"""Adversarial inverse reinforcement learning as a subclass of TRL's GRPO trainer.

Per step, with an expert demonstration of each of the batch's questions:
  1. the policy samples a group of completions a question (GRPO, untouched);
  2. the discriminator takes a step on the experts, some of these samples, and perturbed experts;
  3. its logits at the boundaries become per-token advantages (`lib.credit`);
  4. the policy takes GRPO's step on these advantages.
Departures from the paper (arXiv 2510.01857): returns by a backward recursion; perturbed traces keep
their own question, and one that changes nothing is never used; the discriminator's batch is padded
to its own longest row and holds `policy_per_prompt` samples of a group, not all.
"""

import random

import torch
from peft import PeftModel
from transformers import set_seed
from trl import GRPOTrainer

from lib import credit, discriminator, perturb, sampling, traces, training
from lib.demonstrations import Demonstration
from lib.discriminator import EXPERT, PERTURBED, POLICY
from lib.metrics import auroc

KL_EVERY = 5  # steps between two estimates of the KL to the start; each costs two small forwards


class AIRLTrainer(GRPOTrainer):
    """GRPO whose advantages come from a discriminator that is trained alongside.

    The dataset has the columns `prompt`, `answer` (logged as pass rate; it reaches the reward only
    under `relabel_correct`) and `trace`, the expert's completion. `settings` is the AIRL section of
    the parameters; `reward_model` a discriminator of `lib.discriminator`, sharing the tokenizer.
    """

    def __init__(self, *, reward_model, settings, **kwargs):
        super().__init__(**kwargs)
        self.reward_model = reward_model.to(self.accelerator.device)
        self.settings = settings
        self._random = random.Random(self.args.seed)
        self._parameters = [p for p in reward_model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=settings.discriminator_lr, weight_decay=0.0)
        self._experts: list[list[int]] = []

    def _generate(self, prompts):
        """GRPO's sampling; with `expert_in_group` the expert takes the place of each group's last sample."""
        result = list(super()._generate(prompts))
        if self.settings.expert_in_group and self.model.training:
            for row in range(self.num_generations - 1, len(prompts), self.num_generations):
                result[1][row] = self._experts[row // self.num_generations]
                text = self.processing_class.decode(result[1][row], skip_special_tokens=True)
                result[3][row] = [{"role": "assistant", "content": text}]
        return tuple(result)

    def _generate_and_score_completions(self, inputs):
        training = self.model.training
        G = self.num_generations if training else self.num_generations_eval
        self._experts = [self._completion_ids(row["trace"]) for row in inputs[::G]]
        output = super()._generate_and_score_completions(inputs)
        mask_BT = output["completion_mask"].bool()
        prompts = _unpad(output["prompt_ids"], output["prompt_mask"])
        completions = _unpad(output["completion_ids"], mask_BT)
        if training and not self.settings.frozen_discriminator:
            self._update_discriminator(inputs, prompts, completions)

        units = [sampling.units_of_tokens(self.processing_class, ids) for ids in completions]
        _, answer_BT, step_ends_BT = discriminator.unit_masks(units, mask_BT.shape[1])
        boundaries_BT = self._boundaries(mask_BT, step_ends_BT.to(mask_BT.device))
        self.reward_model.eval()
        with torch.no_grad():
            rewards_BT = self.reward_model.logits_BT(
                torch.cat([output["prompt_ids"], output["completion_ids"]], 1),
                torch.cat([output["prompt_mask"], output["completion_mask"]], 1),
                mask_BT.shape[1],
            )
        output["advantages"] = credit.advantages(
            rewards_BT,
            boundaries_BT,
            mask_BT,
            credit=self.settings.credit,
            gamma=self.settings.gamma,
            group_size=G,
            clip=self.settings.reward_clip,
        )
        if training and self.state.global_step < self.settings.warmup_steps:
            output["advantages"] = torch.zeros_like(output["advantages"])
        self._replace_logged_advantages(output["advantages"], mask_BT)
        scores_B = discriminator.trace_score(
            rewards_BT, boundaries_BT, mask_BT, answer_BT.to(mask_BT.device), self.settings.gamma
        )
        self._record(inputs, completions, scores_B, output)
        return output

    def _update_discriminator(self, inputs, prompts, completions) -> None:
        """One step of the discriminator; logs its loss, and accuracy and reward per class."""
        rows, classes, labels = self._discriminator_batch(inputs, prompts, completions)
        ids_BL, attention_BL, width_t = sampling.pad_completions(
            self.processing_class, [prompt for prompt, _ in rows], [completion for _, completion in rows]
        )
        units = [sampling.units_of_tokens(self.processing_class, ids) for _, ids in rows]
        mask_BT, _, step_ends_BT = discriminator.unit_masks(units, width_t)
        device = self.accelerator.device
        boundaries_BT = self._boundaries(mask_BT, step_ends_BT).to(device)
        class_B, expert_is_one_B = torch.tensor(classes, device=device), torch.tensor(labels, device=device)

        self.reward_model.train()
        logits_BT = self.reward_model.logits_BT(ids_BL.to(device), attention_BL.to(device), width_t)
        loss = discriminator.loss(
            logits_BT,
            boundaries_BT,
            expert_is_one_B,
            class_B,
            kind=self.settings.loss,
            label_smoothing=self.settings.label_smoothing,
        )
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()

        logged = self._metrics["train"]
        logged["disc_loss"].append(loss.item())
        right_BT = (logits_BT.detach() > 0) == (class_B == EXPERT)[:, None]
        for name, c in (("expert", EXPERT), ("policy", POLICY), ("perturbed", PERTURBED)):
            if (class_B == c).any():
                marked = boundaries_BT & (class_B == c)[:, None]
                logged[f"disc_accuracy_{name}"].append(right_BT[marked].float().mean().item())
                logged[f"reward_{name}"].append(logits_BT.detach()[marked].mean().item())

    def _discriminator_batch(self, inputs, prompts, completions):
        """Rows (prompt ids, completion ids), their classes, and the labels `expert_is_one`."""
        G, settings = self.num_generations, self.settings
        rows, classes, labels = [], [], []
        for group, expert in enumerate(self._experts):
            prompt, row = prompts[group * G], inputs[group * G]
            rows.append((prompt, expert))
            classes.append(EXPERT)
            labels.append(1.0)
            own = G - 1 if settings.expert_in_group else G
            for i in self._random.sample(range(own), min(settings.policy_per_prompt, own)):
                completion = completions[group * G + i]
                rows.append((prompt, completion))
                classes.append(POLICY)
                labels.append(float(settings.relabel_correct and self._is_correct(completion, row["answer"])))
            if settings.perturbations:
                for wrong in perturb.perturb(row["trace"], self._random, settings.perturbations):
                    rows.append((prompt, self._completion_ids(wrong.text)))
                    classes.append(PERTURBED)
                    labels.append(0.0)
        return rows, classes, labels

    def _record(self, inputs, completions, scores_B, output) -> None:
        """Log what only monitors: pass rate, length, reward AUROC against the truth, KL to the start."""
        logged = self._metrics["train" if self.model.training else "eval"]
        G = len(scores_B) // len(self._experts)
        expert_row = self.settings.expert_in_group and self.model.training
        own = [i for i in range(len(completions)) if not (expert_row and i % G == G - 1)]
        right = [self._is_correct(completions[i], inputs[i]["answer"]) for i in own]
        logged["pass_rate"].append(sum(right) / len(right))
        logged["completion_length"].append(sum(len(completions[i]) for i in own) / len(own))
        if 0 < sum(right) < len(right):
            logged["reward_auroc"].append(auroc(scores_B[own].tolist(), right))
        if isinstance(self.model, PeftModel) and self.state.global_step % KL_EVERY == 0:
            logged["kl_to_start"].append(self._kl_to_start(output))

    @torch.no_grad()
    def _kl_to_start(self, output) -> float:
        """Monte Carlo estimate of KL(policy || start), nats a completion, on the first groups."""
        few = slice(0, 2 * self.num_generations)
        ids_BL = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)[few]
        attention_BL = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)[few]
        width_t = output["completion_ids"].shape[1]
        policy_BT, _, _ = self._get_per_token_logps_and_entropies(self.model, ids_BL, attention_BL, width_t)
        with self.model.disable_adapter():
            start_BT, _, _ = self._get_per_token_logps_and_entropies(
                self.model, ids_BL, attention_BL, width_t
            )
        return ((policy_BT - start_BT) * output["completion_mask"][few]).sum(1).mean().item()

    def _boundaries(self, mask_BT, step_ends_BT):
        return credit.boundaries(self.settings.boundaries, mask_BT, self.settings.interval, step_ends_BT)

    def _completion_ids(self, text: str) -> list[int]:
        ids = self.processing_class(text, add_special_tokens=False).input_ids
        return [*ids, self.processing_class.eos_token_id]

    def _is_correct(self, ids: list[int], answer: str) -> bool:
        text = self.processing_class.decode(ids, skip_special_tokens=True)
        return traces.is_correct(traces.parse(text).answer, answer)

    def _replace_logged_advantages(self, advantages_BT, mask_BT) -> None:
        """TRL has logged its own advantages already; the completions table shows the mean of ours."""
        mean_B = advantages_BT.sum(1) / mask_BT.sum(1).clamp(min=1)
        table = self._logs["advantages"]
        for _ in range(len(mean_B)):
            table.pop()
        table.extend(mean_B.tolist())


def _unpad(ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> list[list[int]]:
    """The token ids of each row without its padding."""
    return [ids[mask.bool()].tolist() for ids, mask in zip(ids_BT, mask_BT, strict=True)]


def train_airl(
    backbone,
    discriminator_backbone,
    demonstrations: list[Demonstration],
    *,
    settings,
    adapter,
    seed,
    output_dir,
    max_new_tokens,
    temperature,
) -> AIRLTrainer:
    """AIRL on the demonstrations; returns the trained trainer, its discriminator in `reward_model`."""
    set_seed(seed)
    model, tokenizer = training.load_backbone(backbone)
    reward_model = discriminator.HeadDiscriminator.new(
        discriminator_backbone, r=settings.discriminator_r, alpha=2 * settings.discriminator_r
    )
    questions = training.question_dataset(demonstrations).add_column(
        "trace", [d.trace for d in demonstrations]
    )
    trainer = AIRLTrainer(
        reward_model=reward_model,
        settings=settings,
        model=model,
        processing_class=tokenizer,
        train_dataset=questions,
        reward_funcs=training.correct,
        peft_config=training.lora(adapter),
        args=training.grpo_config(
            settings,
            seed=seed,
            output_dir=output_dir,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            reward_weights=[0.0],  # the answer is logged and has no influence
        ),
    )
    return training.train(trainer)
