"""The benchmark of success by samples: what it refuses before hours of training, its table and its picture."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_training.evaluate.closed_loop import EpisodeResult, Evaluation

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return importlib.import_module("babyai_success")


def row(benchmark: ModuleType, name: str, samples: int, successes: int, **router: float) -> Any:
    episodes = tuple(EpisodeResult(n, "go", n < successes, 0.0, "", (0,) * 5) for n in range(10))
    return benchmark.Row(name, 1234, samples, Evaluation("babyai", "GoToObj", "float", 64, None, episodes), router)


def test_the_table_and_the_picture(benchmark: ModuleType) -> None:
    router = {"validation_router_entropy": 1.25, "validation_use_0_0": 0.2, "validation_use_0_1": 0.8}
    rows = [row(benchmark, "film", 100, 2), row(benchmark, "film", 10_000, 9), row(benchmark, "moe", 100, 5, **router)]
    lines = benchmark.table(rows, 7).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3] == "| film | 1,234 | 10,000 | 9 of 10 | 59.6 to 98.2 % | 5.0 | | |"
    assert lines[4].endswith("| 5 of 10 | 23.7 to 76.3 % | 5.0 | 1.25 | 20 to 80 % |")
    root = xml.etree.ElementTree.fromstring(benchmark.chart(rows, 7))
    one, two = (e.attrib["points"].split() for e in root.iter("{http://www.w3.org/2000/svg}polyline"))
    (x, y), (right, top) = ([float(n) for n in point.split(",")] for point in one)
    assert len(two) == 1 and x < right and y > top
    assert float(two[0].split(",")[0]) != x  # beside each other, or one interval would hide the other


def test_mistakes_are_refused_before_the_first_training(
    benchmark: ModuleType, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(message: str, *options: str, out: str = "out") -> None:
        asked = ["--data", str(data), "--out", str(tmp_path / out), "--level", "GoToObj", *options]
        try:
            assert benchmark.main(asked) in (1, 2)
        except SystemExit as stopped:
            assert stopped.code == 2
        assert message in capsys.readouterr().err and not list(tmp_path.glob("*/*-*-*"))

    refused("--samples has 100000; ", "--samples", "100000")
    refused("'-5' is no list of whole numbers", "--samples=-5")
    refused("'0' is no whole number from 1", "--steps", "0")
    refused("unknown 'mo'; give cnn, film", "--only", "mo")
    refused("Unknown BabyAI level 'GoToObi'", "--level", "GoToObi")
    refused("not a LeRobot data set", "--data", str(tmp_path / "none"))
    refused("folder '/none' does not exist", "--chart", "/none/chart.svg")
    benchmark.claim(tmp_path / "out", "GoToObj", data)
    refused("has results of {'data': ", "--level", "GoToLocal")
    (tmp_path / "out" / "asked.json").write_text("{")
    refused("asked.json is damaged")
