"""The benchmark of Push-T: what it plays of each policy, and its pictures."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_models.registry import find_policy
from vla_models.saved import save_policy
from vla_training.evaluate.closed_loop import EpisodeResult, Evaluation

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return importlib.import_module("pusht_success")


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("mlp_policy", {"width": 8, "blocks": 1}, [(4, 10), (2, 10), (4, 1)]),
        ("mlp_policy", {"width": 8, "blocks": 1, "method": "direct"}, [(4, 0), (2, 0)]),
        ("pi_zero", {"depth": 1, "sampler_steps": 3}, [(4, 3), (2, 3), (4, 10), (4, 1)]),
        ("act", {"width": 8, "heads": 1}, [(4, 0), (2, 0)]),
    ],
)
def test_what_is_played(
    benchmark: ModuleType, name: str, options: dict[str, Any], wanted: list[tuple[int, int]], tmp_path: Path
) -> None:
    spec = find_policy(name)
    policy = spec.make(spec.configured(options))
    save_policy(tmp_path, name, policy.config, policy.state_dict())
    found = benchmark.cases(tmp_path, Namespace(execute=[4, 2], euler=[10, 1], backends=["sim"]))
    assert [(case.execute, case.euler) for case in found] == wanted


def test_a_picture_for_each_axis(benchmark: ModuleType) -> None:
    played = {}
    for execute, euler, successes in ((2, 10, 9), (4, 10, 8), (8, 10, 5), (4, 1, 3)):
        episodes = tuple(EpisodeResult(n, "go", n < successes, 0.0, "", (0,)) for n in range(10))
        evaluation = Evaluation("pusht", "fixed", "float", 300, None, episodes)
        played[benchmark.Case("flow", "float", execute, euler)] = evaluation
    for axis, points in (("execute", 3), ("euler", 2)):
        root = xml.etree.ElementTree.fromstring(benchmark.chart(played, axis))
        (line,) = root.iter("{http://www.w3.org/2000/svg}polyline")
        assert len(line.attrib["points"].split()) == points
