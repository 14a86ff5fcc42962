"""A run says what it was trained with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest


def test_each_start_is_noted(tmp_path: Path) -> None:
    import torch

    from vla_isa import __version__
    from vla_training import environment

    path = tmp_path / "environment.jsonl"
    environment.note_start(path, 0)
    environment.note_start(path, 250)
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert (first["step"], second["step"]) == (0, 250)
    assert first["vla-toolchain"] == __version__ and first["torch"] == torch.__version__


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_training import environment

    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
        done = subprocess.run(["git", *settings, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    module = tmp_path / "environment.py"
    module.write_text("", encoding="utf-8")
    monkeypatch.setattr(environment, "__file__", str(module))

    def noted() -> dict[str, object]:
        path = tmp_path / "environment.jsonl"
        path.unlink(missing_ok=True)
        environment.note_start(path, 0)
        entry: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        return entry

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "commit" not in noted(), "no checkout"
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "somebody else's")
    assert "commit" not in noted(), "a checkout that is not of this project"
    git("add", "environment.py")
    git("commit", "-q", "-m", "ours")
    assert (noted()["commit"], noted()["modified"]) == (git("rev-parse", "HEAD"), False)
    module.write_text("x = 1\n", encoding="utf-8")
    assert noted()["modified"] is True
    monkeypatch.setenv("PATH", "")
    assert "commit" not in noted(), "no git"
