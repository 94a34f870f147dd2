"""The whole chain of stages at a profile, in a directory of its own, as `make study` runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lib.study import params

ROOT = Path(__file__).parents[1]


def run(at: Path, overlay: dict) -> Path:
    """Run a study at a profile that is `overlay`, with the weights that this checkout has; returns `at`."""
    at.mkdir(parents=True)
    tree = params.parse_value((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tree["profiles"]["tested"] = overlay
    profiles = at.with_name(f"{at.name}.yaml")
    with open(profiles, "w", encoding="utf-8") as out:
        params.dump(tree, out)
    with open(at / "params.yaml", "w", encoding="utf-8") as out:
        params.dump(params.apply_profile(profiles, "tested"), out)
    for name in ("lib", "notebooks", "launch"):
        shutil.copytree(ROOT / name, at / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, at)
    if (ROOT / "weights").exists():
        (at / "weights").symlink_to((ROOT / "weights").resolve())
    path = os.pathsep.join([f"{sys.prefix}/bin", os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    for command in (["init", "--no-scm", "--quiet"], ["repro"]):
        result = subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=at, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    return at
