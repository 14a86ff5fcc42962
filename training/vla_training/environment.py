"""What a run was trained with: packages, and the commit of this project where it is a checkout of one."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from vla_isa import __version__

__all__ = ["note_start"]

_PACKAGES = ("accelerate", "numpy", "torch")
_GIT_SECONDS = 10.0  # a folder on a network may take long; a run does not wait for its label


def note_start(path: Path, step: int) -> None:
    """Append a line of JSON to `path`: what goes on with training from `step` on. A run that resumes has several."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, **_environment()}) + "\n")


def _environment() -> dict[str, Any]:
    packages = {name: metadata.version(name) for name in _PACKAGES}
    return {"vla-toolchain": __version__, **_commit(), "python": platform.python_version(), **packages}


def _commit() -> dict[str, Any]:
    """Of the checkout that holds this file, and whether tracked files differ from it; nothing where there is none."""
    folder = Path(__file__).resolve().parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit or not _git(folder, "ls-files", Path(__file__).name):  # installed into somebody else's checkout
        return {}
    return {"commit": commit, "modified": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
