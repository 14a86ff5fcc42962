"""The benchmark of Push-T: what it plays of each policy, and its pictures."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
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
        (
            "flow_autoregressive",
            {"depth": 1, "sampler_steps": 3},
            [
                *((n, m, "flow") for n, m in ((4, 3), (2, 3), (4, 10), (4, 1))),
                *((n, 0, "autoregressive") for n in (4, 2)),
            ],
        ),
        ("mlp_policy", {"width": 8, "blocks": 1}, [(4, 10), (2, 10), (4, 1)]),
        ("mlp_policy", {"width": 8, "blocks": 1, "method": "direct"}, [(4, 0), (2, 0)]),
        ("pi_zero", {"depth": 1, "sampler_steps": 3}, [(4, 3), (2, 3), (4, 10), (4, 1)]),
        ("act", {"width": 8, "heads": 1}, [(4, 0), (2, 0)]),
    ],
)
def test_what_is_played(
    benchmark: ModuleType, name: str, options: dict[str, Any], wanted: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    spec = find_policy(name)
    policy = spec.make(spec.configured(options))
    save_policy(tmp_path, name, policy.config, policy.state_dict())
    found = benchmark.cases(tmp_path, Namespace(execute=[4, 2], euler=[10, 1], backends=["sim"]))
    heads = [(case.head,) if case.head else () for case in found]
    assert [(case.execute, case.euler, *head) for case, head in zip(found, heads, strict=True)] == wanted
    assert [benchmark.Case.of_folder(case.folder) for case in found] == found


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


def test_tokens_are_compared_up_to_the_first_that_differs(benchmark: ModuleType) -> None:
    """Of bins of 4 px: three chunks, equal, other from the third token on, other from the first."""
    agreement = importlib.import_module("token_agreement").agreement
    wanted = np.full((3, 2, 2), 10, np.float32)
    found = wanted + np.float32([[[1.9, 0], [0, -1.9]], [[0, 0], [3, 4]], [[4, 0], [0, 0]]])
    said = agreement(found, wanted, 4.0)
    assert (said["tokens behind equal ones"], said["of them equal"]) == (4 + 3 + 1, 6 / 8)
    assert said["chunks equal"] == pytest.approx(1 / 3)
    assert said["mean distance of an action, px"] == pytest.approx((1.9 + 1.9 + 0 + 5 + 4 + 0) / 6)
    assert said["of the first action, px"] == pytest.approx((1.9 + 0 + 4) / 3)
