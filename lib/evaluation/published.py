"""The paper's numbers (GSM8K, pretrained backbones), for display beside the study's own."""

import pandas as pd

from lib.schema import Params

V1, LATER = "published, arXiv 2510.01857 v1", "published, arXiv 2510.01857 later versions"
KS = (1, 3, 5, 10)
PASS_AT_K = {  # (GRPO, SFT, AIRL dense) on GSM8K, v1; one tuple over `KS` each
    "Llama3.2-3B": ((0.57, 0.78, 0.85, 0.91), (0.55, 0.76, 0.83, 0.89), (0.32, 0.53, 0.63, 0.75)),
    "Llama3.1-8B": ((0.73, 0.88, 0.91, 0.94), (0.55, 0.79, 0.86, 0.91), (0.49, 0.73, 0.80, 0.88)),
    "Qwen2.5-3B": ((0.80, 0.90, 0.93, 0.95), (0.54, 0.76, 0.83, 0.90), (0.51, 0.72, 0.80, 0.87)),
    "Qwen2.5-7B": ((0.88, 0.94, 0.95, 0.96), (0.67, 0.87, 0.91, 0.95), (0.71, 0.88, 0.92, 0.95)),
}
ABLATIONS = {  # pass@1 of Llama3.1-8B on GSM8K, v1
    "airl_dense": 0.49, "airl_sparse": 0.54, "frozen discriminator": 0.26, "unnormalised rewards": 0.00,
    "10% wrong experts": 0.07, "25% wrong experts": 0.03,
}  # fmt: skip
GRANULARITIES = ("grpo", "sft", "airl_sparse", "airl_step", "airl_interval", "airl_dense")
GRANULARITY = {  # pass@1 on GSM8K, later versions
    "Qwen2.5-3B": (0.83, 0.56, 0.79, 0.77, 0.64, 0.04),
    "Llama3.2-3B": (0.79, 0.55, 0.70, 0.56, 0.48, 0.43),
    "Qwen2.5-7B": (0.89, 0.64, 0.84, 0.82, 0.77, 0.80),
    "Llama3.1-8B": (0.83, 0.66, 0.00, 0.71, 0.66, 0.58),
}
COLLAPSED = {("Qwen2.5-3B", "airl_dense"), ("Llama3.1-8B", "airl_sparse")}
HITS = {  # hit@1 on rule-perturbed traces, later versions
    ("Llama3.1-8B", "reward"): 0.861, ("Llama3.1-8B", "logprob"): 0.753, ("Qwen2.5-7B", "logprob"): 0.941,
}  # fmt: skip


def table() -> pd.DataFrame:
    """The paper's numbers: experiment, backbone, method, metric, k, value, source, note."""
    rows = []

    def add(
        experiment: str,
        backbone: str,
        method: str,
        metric: str,
        k: int | None,
        value: float,
        source: str,
        note="",
    ):
        rows.append((experiment, backbone, method, metric, k, value, source, note))

    for backbone, methods in PASS_AT_K.items():
        for method, values in zip(("grpo", "sft", "airl_dense"), methods, strict=True):
            for k, value in zip(KS, values, strict=True):
                add("main", backbone, method, "pass_at_k", k, value, V1, "95% interval about +-0.02")
    for setting, value in ABLATIONS.items():
        add("ablation", "Llama3.1-8B", setting, "pass_at_k", 1, value, V1)
    for backbone, values in GRANULARITY.items():
        for method, value in zip(GRANULARITIES, values, strict=True):
            note = "answer-agreement relabelling" if method.startswith("airl") else ""
            if (backbone, method) in COLLAPSED:
                note += "; mode collapse (authors)"
            add("granularity", backbone, method, "pass_at_k", 1, value, LATER, note)
    for (backbone, detector), value in HITS.items():
        add(
            "localisation",
            backbone,
            detector,
            "hit_at_1",
            None,
            value,
            LATER,
            "15-token buckets, one of slack",
        )
    columns = "experiment backbone method metric k value source note".split()
    return pd.DataFrame(rows, columns=columns).astype({"k": "Int64"})


def departures(settings: Params) -> pd.DataFrame:
    """Where section `airl`, the paper's reward, departs from the paper's set-up (v1): what, paper, here."""
    airl = settings.airl
    rows = (
        ("policy", "3 to 8 billion parameters, instruct", ", ".join(settings.policies)),
        ("problems", "GSM8K", settings.data.dataset),
        ("demonstrations", "all of the training split", airl.demonstrations),
        ("questions without a demonstration", "none", airl.unlabelled_questions),
        ("policy starts from", "base", airl.start),
        ("LoRA rank of the policy", 128, settings.lora.r),
        ("LoRA rank of the discriminator", 32, airl.discriminator_r),
        ("discriminator's backbone", "0.5 to 3 billion parameters", airl.discriminator),
        ("steps", 500, airl.steps),
        ("samples a question", 16, airl.group_size),
        ("top-p", 0.95, 1.0),
        ("learning rate of the policy", 1e-5, airl.lr),
        ("learning rate of the discriminator", 1e-5, airl.discriminator_lr),
        ("its schedule", "cosine", airl.discriminator_schedule),
        ("samples that the discriminator sees", "all of a group", f"{airl.policy_per_prompt} of a group"),
        ("returns", "sums divided by powers of gamma", "a backward recursion"),
        ("near misses", "beside another question's prompt", "beside their own"),
    )
    return pd.DataFrame(rows, columns=["what", "paper", "here"]).astype(str)
