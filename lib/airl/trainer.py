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

import json
import random
from collections import deque
from pathlib import Path

import torch
from accelerate.utils import gather_object
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from sklearn.metrics import roc_auc_score

from lib import files
from lib.airl import batches, credit, discriminator, objective
from lib.airl.batches import Row
from lib.airl.health import Health
from lib.airl.objective import EXPERT, PERTURBED, POLICY
from lib.models import checkpoints
from lib.text import alignment, chat, perturb, traces

KL_EVERY = 5  # steps between two estimates of the KL to the backbone; each costs two small forwards
REPLAYED_STEPS = 50  # how many steps back a replayed policy sample may come from


class AIRLTrainer(checkpoints.ResumableGRPOTrainer):
    """GRPO whose advantages come from a discriminator that is trained alongside.

    The dataset has the columns `prompt`, `answer` (logged as pass rate; it reaches the reward only
    under `relabel_correct`) and `trace`, the expert's completion, empty where a question has none: there
    the discriminator is shown the demonstration of another question. `settings` is the AIRL section of
    the parameters; `reward_model` a discriminator of `lib.airl.discriminator`, sharing the tokenizer.
    With `start: reward` the policy becomes the log-ratio's p_phi when the warm-up ends: the policy that is
    optimal for the reward at a KL to the backbone of weight 1. A run that degenerates stops, and `fault`
    says why. On several processes each has the samples of its own questions, whole groups, and the
    discriminator the mean of all their gradients.
    """

    def __init__(self, *, reward_model, settings, **kwargs):
        super().__init__(**kwargs)
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
        self._replay: deque[Row] = deque(
            maxlen=REPLAYED_STEPS * settings.prompts_per_step * settings.policy_per_prompt
        )

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

    def _generate_and_score_completions(self, inputs):
        training = self.model.training
        if (
            training
            and self.settings.start == "reward"
            and self.state.global_step == self.settings.warmup_steps
        ):
            reward = get_peft_model_state_dict(
                self.reward_model.model, adapter_name=self.reward_model.adapter
            )
            set_peft_model_state_dict(self.accelerator.unwrap_model(self.model), reward)
        G = self.num_generations if training else self.num_generations_eval
        self._experts = [chat.completion_ids(self.processing_class, row["trace"]) for row in inputs[::G]]
        output = super()._generate_and_score_completions(inputs)
        mask_BT = output["completion_mask"].bool()
        prompts = _unpad(output["prompt_ids"], output["prompt_mask"])
        completions = _unpad(output["completion_ids"], mask_BT)
        accuracies = []
        if training and self.state.global_step < self.settings.discriminator_steps:
            for _ in range(self.settings.discriminator_updates):
                accuracies = self._update_discriminator(inputs, prompts, completions)

        units = [alignment.units_of_tokens(self.processing_class, ids) for ids in completions]
        _, answer_BT, step_ends_BT = alignment.unit_masks(units, mask_BT.shape[1])
        boundaries_BT = credit.boundaries(
            self.settings.boundaries, mask_BT, self.settings.interval, step_ends_BT.to(mask_BT.device)
        )
        rewards_BT = self._rewards_BT(output)
        if training:
            self._stop_if_degenerate(rewards_BT[mask_BT], accuracies, completions)
        output["advantages"] = credit.advantages(
            rewards_BT,
            boundaries_BT,
            mask_BT,
            credit=self.settings.credit,
            gamma=self.settings.gamma,
            group_size=G,
            clip=self.settings.reward_clip,
        )
        if training and (self.fault or self.state.global_step < self.settings.warmup_steps):
            output["advantages"] = torch.zeros_like(output["advantages"])
        self._replace_logged_advantages(output["advantages"], mask_BT)
        scores_B = credit.trace_score(
            rewards_BT, boundaries_BT, mask_BT, answer_BT.to(mask_BT.device), self.settings.score_gamma
        )
        self._record(inputs, completions, scores_B, output)
        return output

    @torch.no_grad()
    def _rewards_BT(self, output) -> torch.Tensor:
        """The discriminator's reward at each token, as many completions at once as the policy trains on."""
        ids_BL = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
        attention_BL = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
        width_t, at_once = output["completion_ids"].shape[1], self.args.per_device_train_batch_size
        self.reward_model.eval()
        with self.reward_model.in_use():
            return torch.cat(
                [
                    discriminator.rewards_BT(self.reward_model, self.settings.reward, ids, attention, width_t)
                    for ids, attention in zip(ids_BL.split(at_once), attention_BL.split(at_once), strict=True)
                ]
            )

    def _stop_if_degenerate(self, rewards, accuracies, completions) -> None:
        """Ask the trainer to stop after this step if the run has degenerated; `fault` then says why."""
        ended = sum(self.processing_class.eos_token_id in ids for ids in completions)
        self.fault = self.fault or self._health.fault(
            finite=bool(rewards.isfinite().all()),
            accuracies=accuracies,
            truncated=1 - ended / len(completions),
        )
        faults = gather_object([self.fault])  # one process that stops alone would leave the others waiting
        self.fault = next((fault for fault in faults if fault), None)
        self.control.should_training_stop |= self.fault is not None

    def _update_discriminator(self, inputs, prompts, completions) -> list[float]:
        """One step of the discriminator, logged; returns its accuracy on each class."""
        batch = batches.collate(
            self.processing_class, self._discriminator_rows(inputs, prompts, completions), self.settings
        )
        ids_BL, attention_BL, boundaries_BT, class_B, expert_is_one_B = (
            tensor.to(self.accelerator.device) for tensor in batch
        )
        self.reward_model.train()
        with self.reward_model.in_use():
            logits_BT = self.reward_model.logits_BT(ids_BL, attention_BL, boundaries_BT.shape[1])
            loss = objective.loss(
                logits_BT,
                boundaries_BT,
                expert_is_one_B,
                class_B,
                kind=self.settings.loss,
                label_smoothing=self.settings.label_smoothing,
            )
            loss.backward()
        for parameter in self._parameters:
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()  # on a shared backbone the policy's trainer would count these gradients
        if self.settings.discriminator_schedule == "cosine":
            self._scheduler.step()

        logged = self._metrics["train"]
        logged["disc_loss"].append(self.accelerator.reduce(loss.detach(), "mean").item())
        right_BT, accuracies = (logits_BT.detach() > 0) == (class_B == EXPERT)[:, None], []
        for name, c in (("expert", EXPERT), ("policy", POLICY), ("perturbed", PERTURBED)):
            if (class_B == c).any():
                marked = boundaries_BT & (class_B == c)[:, None]
                accuracies.append(right_BT[marked].float().mean().item())
                logged[f"disc_accuracy_{name}"].append(accuracies[-1])
                logged[f"reward_{name}"].append(logits_BT.detach()[marked].mean().item())
        return accuracies

    def _discriminator_rows(self, inputs, prompts, completions) -> list[Row]:
        """Of each group an expert, some policy samples and the expert's near misses; replayed samples."""
        G, settings, tokenizer = self.num_generations, self.settings, self.processing_class
        expert_rows = set(self._expert_rows(len(completions)))
        chosen: list[Row] = []
        groups = range(0, len(completions), G)
        if len(groups) > settings.discriminator_prompts:
            groups = self._random.sample(groups, settings.discriminator_prompts)
        for first in groups:
            shown = inputs[first] if inputs[first]["trace"] else self._random.choice(self._demonstrations)
            prompt = chat.prompt_ids(tokenizer, shown["prompt"])
            chosen.append(Row(prompt, chat.completion_ids(tokenizer, shown["trace"]), EXPERT, 1.0))
            own = [i for i in range(first, first + G) if i not in expert_rows]
            for i in self._random.sample(own, min(settings.policy_per_prompt, len(own))):
                relabelled = settings.relabel_correct and self._is_correct(
                    completions[i], inputs[i]["answer"]
                )
                label = 1.0 if relabelled else settings.policy_label
                chosen.append(Row(prompts[i], completions[i], POLICY, label))
            messages, kinds = shown["prompt"], perturb.SETS[settings.near_misses]
            made = perturb.perturb(
                messages[-1]["content"], shown["trace"], self._random, settings.perturbations, kinds
            )
            chosen += batches.near_misses(tokenizer, messages, made, settings.labels)
            if settings.own_near_misses:
                chosen += self._own_near_misses(inputs, completions, self._random.choice(own))
        count = min(settings.replay * settings.discriminator_prompts, len(self._replay))
        replayed = [self._replay[i] for i in self._random.sample(range(len(self._replay)), count)]
        self._replay.extend(row for row in chosen if row.kind == POLICY)
        return chosen + replayed

    def _own_near_misses(self, inputs, completions, i: int) -> list[Row]:
        """Near misses of a policy's sample: a false equation is wrong whether or not the sample was right."""
        text = self.processing_class.decode(completions[i], skip_special_tokens=True)
        messages = inputs[i]["prompt"]
        made = [
            perturb.wrong_result(messages[-1]["content"], text, self._random)
            for _ in range(self.settings.own_near_misses)
        ]
        made = [wrong for wrong in made if wrong is not None]
        return batches.near_misses(self.processing_class, messages, made, self.settings.labels)

    def _record(self, inputs, completions, scores_B, output) -> None:
        """Log what only monitors: pass rate, length, reward AUROC against the truth, KL to the backbone."""
        logged = self._metrics["train" if self.model.training else "eval"]
        expert_rows = set(self._expert_rows(len(completions)))
        own = [i for i in range(len(completions)) if i not in expert_rows]
        right = [self._is_correct(completions[i], inputs[i]["answer"]) for i in own]
        logged["pass_rate"].append(sum(right) / len(right))
        logged["completion_length"].append(sum(len(completions[i]) for i in own) / len(own))
        if 0 < sum(right) < len(right) and scores_B.isfinite().all():
            logged["reward_auroc"].append(roc_auc_score(right, scores_B[own].tolist()))
        if isinstance(self.model, PeftModel) and self.state.global_step % KL_EVERY == 0:
            logged["kl_to_start"].append(self._kl_to_start(output))

    @torch.no_grad()
    def _kl_to_start(self, output) -> float:
        """Monte Carlo estimate of KL(policy || backbone), nats a completion, on the first groups."""
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

    def _is_correct(self, ids: list[int], answer: str) -> bool:
        text = self.processing_class.decode(ids, skip_special_tokens=True)
        return traces.is_correct(traces.parse(text).answer, answer)

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            checkpoints.save_discriminator(output_dir, self.reward_model, self._optimizer, self._scheduler)
        state = {
            "random": self._random.getstate(),
            "replay": list(self._replay),
            "health": vars(self._health),
        }
        files.write_json(self._state_file(output_dir), state)

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        checkpoints.load_discriminator(checkpoint, self.reward_model, self._optimizer, self._scheduler)
        state = json.loads(self._state_file(checkpoint).read_text(encoding="utf-8"))
        version, numbers, gauss = state["random"]
        self._random.setstate((version, tuple(numbers), gauss))
        self._replay.extend(Row(*row) for row in state["replay"])
        vars(self._health).update(state["health"])

    def _state_file(self, checkpoint) -> Path:
        """What a process keeps of its own: its random numbers, its replayed samples, its health."""
        return Path(checkpoint) / f"airl_{self.args.process_index}.json"

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
