# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4. Adversarial inverse reinforcement learning
#
# Imitation copies tokens. Inverse reinforcement learning asks *why* the expert wrote them: it learns
# a reward under which the expert is better than the policy, while the policy learns to earn it. A
# discriminator with a logit $f_t = f(x, y_{\le t})$ at every token is trained to tell experts from
# the policy's own samples and from slightly corrupted experts,
# $$L_D = -\log\sigma(f_t)\ \text{on experts}, \qquad -\log(1-\sigma(f_t))\ \text{on the rest},$$
# and the policy is trained on $f_t$ as its reward. No answer is used.

# %%
import os
import sys
from pathlib import Path

ROOT = next(p for p in [Path.cwd(), *Path.cwd().parents] if (p / "params.yaml").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))

import random

import pandas as pd
import torch
from IPython.display import HTML

from lib import runs
from lib.airl import credit
from lib.data import splits
from lib.evaluation import published
from lib.report import plots, viewer
from lib.reward import recorded
from lib.study import params, recording
from lib.study.adversarial import judging
from lib.study.training import launch, sampling
from lib.text import alignment, chat, perturb

# %% [markdown]
# `variant` names an entry of `variants` in `params.yaml`: what differs from the section `airl`.

# %% tags=["parameters"]
backbone = "qwen2"
variant = "airl_dense"
seed = 0
params_file = "params.yaml"

# %%
settings = params.load(params_file)
airl = settings.airl_variant(variant)
airl

# %% [markdown]
# The section `airl` is the paper's own reward. Where its set-up is another here, and why: models of a million
# parameters learn faster than adapters of billions, and two cores can pay for fewer and smaller steps.

# %%
published.departures(settings)

# %% [markdown]
# ## Near misses
#
# Perturbed experts teach the discriminator that one wrong number matters. Each rule reports where
# it struck, and never leaves a trace unchanged. With `labels: from_first_error` only what follows that
# place is called wrong.

# %%
first = splits.demonstrations_of(seed)[0]
kinds = perturb.SETS[airl.near_misses]
for near_miss in perturb.perturb(first.question, first.trace, random.Random(seed), 3, kinds):
    print(f"{near_miss.kind} at character {near_miss.start}:\n{near_miss.text}\n")

# %% [markdown]
# ## From the discriminator to advantages
#
# The paper takes $f$ at each token as that token's reward, and discounts (`discounted`); its later versions
# also at the ends of steps or of intervals alone (`boundaries`, the variants `airl_step` and
# `airl_interval`; `airl_no_perturbation` learns without near misses, `airl_dense_300` for longer). But a
# log-ratio $f_k = b + \beta \sum_{s \le k} \log \frac{p_\phi(y_s)}{p_{ref}(y_s)}$ is cumulative already:
# summing it counts the past again and again and rewards length. What boundary $k$ adds is $r_k = f_k -
# f_{k-1}$, the shaping $\Phi(s') - \Phi(s)$ of Ng et al. (1999) with the potential $\Phi = f$, and the
# rewards still to come at a token $t$ telescope to $f_K - f_{prev(t)}$, with $prev(t)$ the last boundary
# before $t$ (`telescoped`; before the first boundary less the group's mean of $f_K$, and all divided by the
# group's deviation). With `reward: log_density` the reward is $\log p_\phi$ alone; the reference is what the
# discriminator was shown as wrong, and a reward that divides by it favours what *that* model finds unlikely
# (Fu et al. 2018 take the same part out). Its increments are never positive, so what is to come is compared
# with the group's mean at the same step (`stepwise`).
#
# None of these asks what the group agrees on. A policy finds likely what it writes, right or wrong; a
# *stranger*, another backbone that imitates the same demonstrations, may misread other sentences. Let each
# sample vote for its answer with a weight $w_i$, and the elected answer take the place of the true one in
# GRPO (`elected`):
# $$a^*(x) = \arg\max_a \sum_{i:\, a_i = a} w_i, \qquad r_i = 1[a_i = a^*(x)].$$
# With equal weights this is TTRL, the vote of notebook 5; the variant `airl_practice` takes the stranger's
# $w_i = p_\phi(y_i \mid x)$, and in `airl_updated` the stranger is a discriminator that learns against the
# policy.
#
# ## The study's own: elections
#
# The variant `airl` does not practise (`learner: imitation`; all of it is in `elections.train_elections`).
# Policy $\pi_\theta$ and stranger $p_\phi$ elect together,
# $$w_i = \sqrt{\pi_\theta(y_i \mid x)\, p_\phi(y_i \mid x)},$$
# and in each of a few rounds both write traces of the same questions; each writer's traces are a vote of
# their own. Each then imitates the likeliest of *its own* traces whose answer was elected, starting from its
# backbone or from itself (`imitation_start`). Two sentences say why that works: what a group elects is right
# more often than its samples, so that to imitate it is to learn from better traces than one's own; and
# questions without answers are many, so that it is learned on more than the demonstrations show. A third
# reason, that the two find different errors unlikely, did not hold: with a copy of the policy in the
# stranger's place (notebook 8) an election gains as much, in one training a backbone. This leaves AIRL in
# three ways: no discriminator learns against the policy, the reward is a likelihood, and the policy imitates
# what is elected instead of following a reward's gradient. Co-training is the older name of the idea (Blum &
# Mitchell 1998).
#
# The rules on four traces of one question; the last two go wrong in their second step and agree in their
# answer:

# %%
f = torch.tensor([[-0.1, -0.2, -0.3], [-0.1, -0.3, -0.4], [-0.1, -3.0, -3.1], [-0.2, -4.0, -4.2]])
everywhere, answers = torch.ones_like(f, dtype=torch.bool), [0, 0, 1, 1]
elected = credit.group(credit.elected(f[:, -1], answers, 4), 4)
pd.DataFrame(
    {
        "f": f.tolist(),
        "discounted": credit.discounted(f, everywhere, everywhere, airl.gamma).tolist(),
        "telescoped": credit.telescoped(f, everywhere, everywhere, 4).tolist(),
        "stepwise": credit.stepwise(f, everywhere, everywhere, 4).tolist(),
        "elected": elected[:, None].expand(4, 3).tolist(),
    }
).map(lambda values: " ".join(f"{v:+.2f}" for v in values))

# %% [markdown]
# ## Training
#
# `lib.airl.trainer` steps into `trl.GRPOTrainer` where the policy has sampled: there the
# discriminator takes a step on $L_D$ (`objective.losses_B`), and its logits become the advantages
# (`credit.advantages`).
#
# A log-ratio is a language model against its own backbone, so it can begin as the likeliest model of the
# demonstrations (`likelihood_epochs` of SFT) instead of as the backbone. With `discriminator_steps: 0` it
# stays that model: nothing is adversarial then, and the reward is a likelihood. With `learner: imitation` a
# step of the log is one of an imitation, and each round's first tells how right its samples were.

# %%
watch = runs.Stopwatch()
trained = launch.train(backbone, variant, seed, params_file)

# %% [markdown]
# ## What happened
#
# The policy's pass rate on its training questions, and how well the learned reward ranks right above wrong
# samples (AUROC). Neither is seen by the training. Below, of a discriminator that learns beside the policy,
# its loss and how often it is right about each class.

# %%
figure = plots.training_curves(trained.log, ["pass_rate", "reward_auroc"])
if airl.discriminator_steps:
    classes = ["disc_accuracy_expert", "disc_accuracy_policy", "disc_accuracy_perturbed"]
    figure = plots.training_curves(trained.log, ["disc_loss", *classes])
# %%
validation = sampling.validate(trained.model, trained.tokenizer, seed, settings)
validation

# %% [markdown]
# ## Looking at the reward
#
# The learned reward of each token, on an expert's trace and on a near miss of it. A reward that
# localises turns low where the near miss goes wrong.

# %%
problem = splits.split("validation")[0]
near_misses = perturb.perturb(problem.question, problem.trace, random.Random(seed), 1, kinds)
texts, tokenizer = [problem.trace, *(wrong.text for wrong in near_misses)], trained.reward_tokenizer
questions, titles = [problem.question] * len(texts), ["expert", *(wrong.kind for wrong in near_misses)]
scored = recorded.score(trained.reward_model, tokenizer, questions, texts, airl, settings)
views = []
for text, row, title in zip(texts, scored, titles, strict=True):
    ids = chat.completion_ids(tokenizer, text)
    pieces = viewer.tokens(text, alignment.token_ends(tokenizer, ids))
    views.append(viewer.heatmap_html(pieces, row["rewards"], title))
HTML("".join(views))

# %% [markdown]
# ## The record

# %%
recording.record_run(
    backbone,
    variant,
    seed,
    settings=settings,
    section=airl,
    trained=trained,
    validation=validation,
    seconds=watch.seconds,
)
launch.forget(trained)

# %% [markdown]
# What the reward says of the samples of the base policy and of SFT, where it sees errors, and what it says of
# samples that it did not practise on. Notebooks 6, 7 and 9 read these rows; the weights are not needed again.

# %%
judging.judge(backbone, variant, seed, trained.reward_model, trained.reward_tokenizer, airl, settings)

# %% [markdown]
# ## Try it
#
# In the cell of the four traces subtract 1 from every second value of `f` and 2 from every third, a cost
# that all of them pay at each step. The `stepwise` advantages stay what they were; the `telescoped` ones
# fall after the first step, for right and wrong alike. Then give the first trace another answer than the
# second: `elected` now follows the likelier one alone. For a
# training of another kind set `variant`, or `airl.near_misses`, and a `seed` that has no record
# (run notebook 3 with it first); notebook 8 does so one change at a time.
#
# ## Next
#
# Notebook 5 asks how far practice goes when every answer can be checked.
#
# ## References
#
# - Ziebart et al. (2008), *Maximum entropy inverse reinforcement learning*, AAAI.
# - Ho & Ermon (2016), *Generative adversarial imitation learning*, [arXiv
#   1606.03476](https://arxiv.org/abs/1606.03476).
# - Fu, Luo & Levine (2018), *Learning robust rewards with adversarial inverse reinforcement learning*,
#   [arXiv 1710.11248](https://arxiv.org/abs/1710.11248).
# - Blum & Mitchell (1998), *Combining labeled and unlabeled data with co-training*, COLT.
# - Ng, Harada & Russell (1999), *Policy invariance under reward transformations: theory and application
#   to reward shaping*, ICML.
# - Zuo et al. (2025), *TTRL: test-time reinforcement learning*, [arXiv
#   2504.16084](https://arxiv.org/abs/2504.16084).
# - Shao et al. (2024), *DeepSeekMath: pushing the limits of mathematical reasoning in open language
#   models*, [arXiv 2402.03300](https://arxiv.org/abs/2402.03300).
# - Fanconi, Astorga & van der Schaar (2025), *Learning a dense reasoning reward model from expert
#   demonstration via inverse reinforcement learning*, [arXiv
#   2510.01857](https://arxiv.org/abs/2510.01857).
