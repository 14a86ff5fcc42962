"""What belongs to one policy, world or objective is named nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = [
    *ROOT.glob("training/vla_training/**/*.py"),
    *ROOT.glob("models/vla_models/*.py"),
    *ROOT.glob("datasets/vla_datasets/*.py"),
    *ROOT.glob("datasets/vla_datasets/lerobot/*.py"),
]
LISTS = ("registry.py",)


@pytest.mark.parametrize("word", ["cross_entropy", "channels_last", "argmax", "babyai", "mission", "logits"])
def test_shared_code_knows_none(word: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in SHARED
        if re.search(rf"(?<![a-z]){word}", path.read_text(encoding="utf-8").lower())  # a submission is no mission
        and path.name not in LISTS
        and path.parent.name != "objectives"
    ]
    assert found == []
