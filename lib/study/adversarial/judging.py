"""What a reward says of recorded samples: asked when it is trained, so that its weights need not be kept."""

from lib import runs
from lib.data import splits
from lib.data.demonstrations import Demonstration
from lib.evaluation import localisation
from lib.reward import recorded
from lib.schema import Airl, Params

FEW = 4  # samples a problem, of those whose errors are looked for, and of those that serve transfer


def judge(
    backbone: str, method: str, seed: int, reward_model, tokenizer, airl: Airl, settings: Params
) -> None:
    """Write into a run's record what its reward says of test samples: `runs.SCORES` (of the judged policies),
    `runs.LOCALISATION` (where wrong ones go wrong), and of `runs.MOVED` `runs.TRANSFER` (of longer problems,
    and of the other backbones' base policies)."""
    record, judge = runs.run_dir(backbone, method, seed), (reward_model, tokenizer)
    where, test = {"variant": method, "seed": seed}, splits.split("test")
    scores, found = [], []
    for policy in runs.JUDGED:
        rows = runs.samples(backbone, policy, seed)
        few = [row for row in rows if policy == "base" and row["sample"] < FEW]
        others = [row for row in rows if policy != "base" or row["sample"] >= FEW]
        scored = recorded.score_samples(*judge, test, few, airl, settings, logit=True)  # maybe another pass
        scored += recorded.score_samples(*judge, test, others, airl, settings)
        scores += [_read({**where, "policy": policy, **row}) for row in scored]
        of_policy = errors(backbone, policy, seed, settings)
        test_errors, known = (
            localisation.detect_by_reward(*judge, problems, wrong, airl, settings)
            for problems, wrong in of_policy
        )
        for row in localisation.calibrated(test_errors, known):
            del row["text"]  # it is in the policy's record, or made again by the rule
            found.append({**row, **where, "policy": policy})
    runs.write_rows(record / runs.SCORES, scores)
    runs.write_rows(record / runs.LOCALISATION, found)
    if method in runs.MOVED:
        runs.write_rows(record / runs.TRANSFER, list(_elsewhere(backbone, judge, where, airl, settings)))


def _read(row: dict) -> dict:
    """What later stages read of a score: the steps' rewards only beside a logit or those of tokens."""
    if "logit" in row or "rewards" in row:
        return row
    return {key: value for key, value in row.items() if key != "unit_reward"}


def errors(
    backbone: str, policy: str, seed: int, settings: Params
) -> list[tuple[list[Demonstration], list[dict]]]:
    """The wrong traces of the test split and those of validation, which serve thresholds, each after its
    problems: a policy's samples, and, beside the base policy's, perturbed experts."""
    found = []
    for name, file in (("test", runs.SAMPLES), ("validation", runs.KNOWN)):
        problems = splits.split(name)
        rows = runs.read_rows(runs.record_of(backbone, policy, seed) / file)
        few = [row for row in rows if name == "validation" or row["sample"] < FEW]
        perturbed = problems if name == "validation" or policy == "base" else []
        found.append((problems, localisation.wrong_traces(perturbed, few, settings.data.seed)))
    return found


def _elsewhere(backbone: str, judge, where: dict, airl: Airl, settings: Params):
    """Rows of `runs.TRANSFER`: samples that the reward did not practise on, `tested_on`, with its reward."""
    long = runs.read_rows(runs.record_of(backbone, "base", 0) / runs.LONG)
    steps = "-".join(map(str, settings.data.long_steps))
    tasks = {f"{steps} steps": ("test_long", [row for row in long if row["temperature"] != "greedy"])}
    for other in settings.policies:
        if other != backbone:
            tasks[f"samples of {other}"] = ("test", runs.samples(other, "base", 0))
    for tested_on, (split, written) in tasks.items():
        rows = [row for row in written if row["sample"] < FEW]
        scored = recorded.score_samples(*judge, splits.split(split), rows, airl, settings)
        for row, score in zip(rows, scored, strict=True):
            kept = {key: row[key] for key in ("problem", "sample", "correct")}
            yield {"tested_on": tested_on, **where, **kept, "reward": score["reward"]}
