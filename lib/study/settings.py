"""What a method's runs depend on, a file each: DVC trains again what comes out otherwise, and no more.

`python -m lib.study.settings` writes `results/settings/METHOD.json` for every method of params.yaml: its
parameters as they are resolved, and the hash of each package of the code that decides.
"""

import sys
from pathlib import Path

from lib import files, runs
from lib.schema import Airl, Grpo, Labels, Params
from lib.study import params

TRAINING = ("lib/data", "lib/grading", "lib/models", "lib/study/training", "lib/text")
ADVERSARIAL = (
    "lib/airl",
    "lib/evaluation/localisation.py",
    "lib/evaluation/pointing.py",
    "lib/reward",
    "lib/study/adversarial",
)


def packages(method: str, settings: Params) -> tuple[str, ...]:
    """The directories and files of lib that decide how a method's runs come out."""
    section = settings.section(method)
    if isinstance(section, (Airl, Labels)):
        return (*TRAINING, *ADVERSARIAL)
    votes = isinstance(section, Grpo) and section.reward == "vote"
    return (*TRAINING, "lib/airl") if votes else TRAINING  # where answers are counted


def of_method(method: str, settings: Params) -> dict:
    """What decides how a method's runs come out. Raises ValueError for an unknown method."""
    section = settings.section(method)
    recorded = {"ks", "token_records", "threshold_problems"}
    decisive = {
        "method": section.model_dump(mode="json"),
        "lora": settings.lora.model_dump(),
        "sampling": settings.sampling.model_dump(mode="json"),
        "evaluation": settings.evaluation.model_dump(mode="json", include=recorded),
        "data_seed": settings.data.seed,
    }
    if method in runs.JUDGED:
        decisive["watched_seeds"] = settings.watching.seeds  # whose samples are kept token by token
    if isinstance(section, (Airl, Grpo)):
        decisive["sft"] = settings.sft.model_dump()  # they start from it, or are fitted as it is
    if isinstance(section, (Airl, Labels)):
        decisive["long_steps"] = settings.data.long_steps  # by which its transfer is called
        decisive["policies"] = settings.policies  # whose samples it judges; a stranger is the next of them
    if method in settings.variants:
        decisive["watching"] = settings.watching.model_dump(mode="json")
    return decisive | {"code_sha256": {place: _code(place) for place in packages(method, settings)}}


def _code(place: str) -> str:
    path = Path(place)
    return files.sha256(sorted(path.rglob("*.py")) if path.is_dir() else [path])


def write(settings: Params) -> None:
    """Write the files of all methods, and no others, as one directory."""
    with files.new_directory(runs.RESULTS / "settings") as directory:
        for method in settings.methods:
            files.write_json(directory / f"{method}.json", of_method(method, settings))


def main() -> None:
    try:
        write(params.load())
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
