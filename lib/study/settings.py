"""The parameters that a method's runs depend on, a file each: DVC trains again what these change, no more.

`python -m lib.study.settings` writes `results/settings/METHOD.json` for every method of params.yaml.
"""

import sys

from lib import files, runs
from lib.schema import Airl, Params
from lib.study import params


def of_method(method: str, settings: Params) -> dict:
    """What decides how a method's runs come out. Raises ValueError for an unknown method."""
    section = settings.section(method)
    decisive = {
        "method": section.model_dump(mode="json"),
        "lora": settings.lora.model_dump(),
        "sampling": settings.sampling.model_dump(),
        "token_records": settings.evaluation.token_records,
    }
    if isinstance(section, Airl):
        decisive["sft"] = settings.sft.model_dump()  # with which a reward is fitted to the demonstrations
    if method in settings.variants:
        decisive["watching"] = settings.watching.model_dump(mode="json")
    if method in settings.ablations:
        decisive["perturbed_experts_seed"] = settings.data.seed
    return decisive


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
