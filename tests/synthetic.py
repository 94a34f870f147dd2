"""Run records of an imaginary study, in the format of real ones, for the tests of the analysis."""

import json
import lzma
import math
import random
import re
from pathlib import Path

from lib.data import demonstrations, reading, world
from lib.grading import answers
from lib.text import traces

RUN = {
    "profile": "default", "parameters": {"lr": 0.001}, "metrics": {"validation_temperature": 0.5},
    "versions": {"torch": "2.13.0"}, "code_sha256": "c" * 64, "data_sha256": "d" * 64,
    "hardware": "2 CPU cores", "seconds": 12.5, "peak_memory_mib": 800.0,
}  # fmt: skip
METHODS = {
    "base": 0.4, "sft": 0.6, "likelihood": 0.65, "spin": 0.6, "ttrl": 0.62, "grpo": 0.75, "airl": 0.7,
    "airl_practice": 0.69, "airl_dense": 0.5, "airl_no_perturbation": 0.45,
}  # fmt: skip
TINY = {  # of those that the profile `tiny` has
    name: level for name, level in METHODS.items()
    if name not in ("ttrl", "airl_practice", "airl_no_perturbation")
}  # fmt: skip
LONG = "3 steps"  # what the longer problems are called, as the profile `tiny` has it
WATCHED_STEPS = (0, 3, 10)


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(lzma.compress(text.encode()))


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in lzma.decompress(path.read_bytes()).decode().splitlines()]


def adversarial(method: str) -> bool:
    """Whether a method learns a reward."""
    return not method.startswith(("base", "sft", "spin", "ttrl", "grpo"))


def trace(rng: random.Random, problem: world.Problem, skill: float) -> str:
    """The expert's trace with probability `skill`, else an unreliable solver's; below 0 no trace at all."""
    if skill < 0:
        return "more more more"
    return world.expert(problem)[0] if rng.random() < skill else world.unreliable(problem, rng, 0.05)


def token_ends(text: str) -> list[int]:
    """Token ends as a tokenizer of words, numbers and tags would have them, and the end token's, empty."""
    return [piece.end() for piece in re.finditer(r"<[^>]*>| ?\w+|.|\n", text)] + [len(text)]


def sample_row(rng: random.Random, problem: int, sample: int, text: str, expert: str, tokens: bool) -> dict:
    ends, units = token_ends(text), len(traces.unit_spans(text))
    logprobs = [-abs(rng.gauss(0.1, 0.2)) for _ in ends]
    answer = traces.parse(text).answer
    row = {
        "problem": problem,
        "sample": sample,
        "text": text,
        "correct": answers.is_correct(answer, traces.parse(expert).answer),
        "well_formed": traces.parse(text).well_formed,
        "first_wrong_unit": reading.first_wrong_unit(text, expert),
        "n_tokens": len(ends),
        "logprob": sum(logprobs),
        "unit_logprob": [-rng.random() for _ in range(units)],
        "unit_entropy": [rng.random() for _ in range(units)],
    }
    if tokens:
        row |= {"ends": ends, "logprobs": logprobs, "entropies": [rng.random() for _ in ends]}
    return row


def score_row(rng: random.Random, variant: str, seed: int, policy: str, sample: dict) -> dict:
    """A reward that is right more often than not, and falls where the trace goes wrong."""
    wrong, units = sample["first_wrong_unit"], len(sample["unit_logprob"])
    unit_reward = [0.0]
    for unit in range(units):
        drop = -1.5 if unit == wrong else 0.2
        unit_reward.append(unit_reward[-1] + drop + rng.gauss(0, 0.7))
    row = {
        "variant": variant,
        "seed": seed,
        "policy": policy,
        "problem": sample["problem"],
        "sample": sample["sample"],
        "reward": unit_reward[-1],
        "logit": rng.gauss(1.0 if sample["correct"] else -1.0, 1.0),
        "unit_reward": unit_reward,
    }
    if policy == "sft":
        del row["logit"]
    if "ends" in sample:
        row["rewards"] = [rng.gauss(0.5 if sample["correct"] else -0.5, 0.6) for _ in sample["ends"]]
    return row


def answered_row(
    rng: random.Random,
    temperature: str,
    problem: int,
    sample: int,
    task: world.Problem,
    expert: str,
    skill: float,
) -> dict:
    """A sample of which only the text and the answer are kept; below 0 `skill` writes no trace."""
    text = trace(rng, task, skill)
    correct = answers.is_correct(traces.parse(text).answer, traces.parse(expert).answer)
    where = {"temperature": temperature, "problem": problem, "sample": sample}
    return where | {"text": text, "correct": correct}


def log_csv(rng: random.Random, adversarial: bool, steps: int) -> str:
    columns = ["step", "pass_rate", "completion_length", "kl_to_start"]
    columns += ["disc_loss", "reward_auroc", "reward_expert", "reward_policy"] if adversarial else []
    lines = [",".join(columns)]
    for step in range(0, steps + 1, 10):
        values = [0.4 + 0.3 * step / steps + rng.gauss(0, 0.02), 40 + rng.random(), 0.001 * step]
        values += [math.log(2) * (1 - 0.5 * step / steps), 0.7, 1.0, -1.0] if adversarial else []
        lines.append(",".join([str(step), *(f"{v:.4f}" for v in values)]))
    return "\n".join(lines) + "\n"


def watched_rows(rng: random.Random, variant: str, rows: list[dict]) -> list[dict]:
    """Samples in training, each with what the reward said of it then."""
    seen = []
    for step in WATCHED_STEPS:
        for row in rows:
            score = score_row(rng, variant, 0, variant, row)
            kept = ("reward", "unit_reward", "rewards")
            seen.append({"step": step, **row, **{name: score[name] for name in kept}})
    return seen


def transfer_rows(rng: random.Random, tested_on: str, seed: int, samples: list[dict]) -> list[dict]:
    """What a reward that is right more often than not says of samples it did not practise on."""
    return [
        {key: sample[key] for key in ("problem", "sample", "correct")}
        | {"tested_on": tested_on, "seed": seed, "reward": rng.gauss(0.5 * sample["correct"], 1.0)}
        for sample in samples
    ]


def localisation_rows(
    rng: random.Random, variant: str, seed: int, policy: str, source: str, kind: str, sample: dict
) -> list[dict]:
    """A reward's row, or under the variant "" those of the other detectors; none for a right trace."""
    wrong, units = sample["first_wrong_unit"], len(sample["unit_logprob"])
    if wrong is None:
        return []
    thresholds = {"perturbed": 0.5} | ({"oracle": 0.8} if source == "policy" else {})
    shared = {
        "source": source,
        "kind": kind,
        "problem": sample["problem"],
        "sample": sample["sample"],
        "thresholds": thresholds,
        "policy": policy,
        "variant": variant,
        "seed": seed,
        "first_wrong_unit": wrong,
    }
    if variant:
        drops = [rng.gauss(1.5 if unit == wrong else 0.0, 0.7) for unit in range(units)]
        return [shared | {"detector": "reward", "unit_scores": drops}]
    return [
        shared | {"detector": detector, "unit_scores": [rng.random() for _ in range(units)]}
        for detector in ("logprob", "entropy")
    ]


def write(
    results: Path,
    backbones: tuple[str, ...] = ("qwen2", "llama"),
    seeds: int = 3,
    problems: int = 12,
    samples: int = 4,
    methods: dict[str, float] = METHODS,
    ablations: dict[str, float] | None = None,
    token_records: int = 4,
    skill: float | None = None,
) -> None:
    """Write the test problems and records of a study under `results`, all that the analysis reads.

    `methods` and `ablations` map a name to how often its policy writes the expert's trace; `skill`
    overrides them all. The ablations exist for the first backbone and seed 0 alone.
    """
    ablations = ablations or {}
    families = list(world.FAMILIES)
    tasks = [
        world.generate(random.Random(i), families[i % len(families)], 1 + i // len(families) % 3)
        for i in range(problems)
    ]
    experts = [world.expert(task)[0] for task in tasks]
    for name in ("test", "validation"):  # the same, so that either's records fit
        write_split(results / "data" / f"{name}.jsonl", tasks)
    for i, name in enumerate(("train", "demonstrations")):  # no study's are of test, as these are
        write_split(results / "data" / f"{name}.jsonl", tasks[i : i + 1])
    written: dict[tuple[str, str, int], list[dict]] = {}
    for b, backbone in enumerate(backbones):
        rng = random.Random(f"{backbone}")
        for method, level in {**methods, **(ablations if b == 0 else {})}.items():
            level = level if skill is None else skill
            for seed in range(1 if method in ablations or method == "base" else seeds):
                rows = [
                    sample_row(rng, i, j, trace(rng, task, level), experts[i], tokens=i < token_records)
                    for i, task in enumerate(tasks)
                    for j in range(samples)
                ]
                written[backbone, method, seed] = rows
                directory = results / "runs" / backbone / method / f"seed{seed}"
                write_rows(directory / "samples.jsonl.xz", rows)
                own_rng = random.Random(f"{backbone} {method} {seed} tempered")
                skills = {"validation": min(level + 0.1, 1.0), "greedy": min(level + 0.2, 1.0)}
                sampled, greedy = (
                    [
                        answered_row(own_rng, temperature, i, j, task, experts[i], higher)
                        for i, task in enumerate(tasks)
                        for j in range(samples if temperature == "validation" else 1)
                    ]
                    for temperature, higher in skills.items()
                )
                write_rows(directory / "tempered.jsonl.xz", sampled + greedy)
                hot = [{**row, "temperature": "1.0"} for row in sampled] if method in ("base", "sft") else []
                write_rows(directory / "long.jsonl.xz", hot + greedy)
                if adversarial(method) and method not in ablations and seed == 0 and token_records:
                    first = [row for row in rows if row["problem"] < min(2, token_records)]
                    own_rng = random.Random(f"{backbone} {method} watched")
                    write_rows(directory / "watched.jsonl.xz", watched_rows(own_rng, method, first))
                if method != "base":
                    (directory / "log.csv").write_text(log_csv(rng, adversarial(method), 100))
                record = RUN | {"backbone": backbone, "method": method, "seed": seed}
                (directory / "run.json").write_text(json.dumps(record))
    near_misses = [
        sample_row(random.Random(i), i, 0, expert.replace("=", "=1", 1), expert, tokens=False)
        for i, expert in enumerate(experts)
    ]
    for backbone in backbones:
        own = {key[1:]: rows for key, rows in written.items() if key[0] == backbone}
        rng = random.Random(f"{backbone} rewards")

        def located(rng, own, variant, seed, policies=("base", "sft")):
            rows = []
            for row in near_misses if "base" in policies else ():
                rows += localisation_rows(rng, variant, seed, "base", "perturbed", "wrong_result", row)
            for policy in policies:
                for row in own[policy, 0 if policy == "base" else seed]:
                    rows += localisation_rows(rng, variant, seed, policy, "policy", "misreading", row)
            return rows

        for variant, seed in own:
            if not adversarial(variant):
                continue
            directory = results / "runs" / backbone / variant / f"seed{seed}"
            scores = [score_row(rng, variant, seed, "base", row) for row in own["base", 0]]
            scores += [score_row(rng, variant, seed, "sft", row) for row in own["sft", seed]]
            transfer = transfer_rows(rng, LONG, seed, own["base", 0])
            for other in backbones:
                if other != backbone:
                    transfer += transfer_rows(rng, f"samples of {other}", seed, written[other, "base", 0])
            write_rows(directory / "scores.jsonl.xz", scores)
            write_rows(directory / "localisation.jsonl.xz", located(rng, own, variant, seed))
            write_rows(directory / "transfer.jsonl.xz", [{"variant": variant, **row} for row in transfer])
        without_reward = located(rng, own, "", 0)
        for seed in range(1, seeds):
            without_reward += located(rng, own, "", seed, ("sft",))
        write_rows(results / "localisation" / f"{backbone}.jsonl.xz", without_reward)


def write_split(path: Path, tasks: list[world.Problem]) -> None:
    rows = []
    for i, task in enumerate(tasks):
        text, answer = world.expert(task)
        where = {"family": task.family, "n_steps": len(task.right)}
        rows.append(
            demonstrations.Demonstration(
                id=f"{path.stem}-{i}", question=task.question, trace=text, answer=answer, **where
            )
        )
    demonstrations.write_jsonl(path, rows)
