"""The driving demo on small random policies: every stage on the tiny machine, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from rich.console import Console

from vla_isa.errors import VlaError
from vla_training.demo.circuits import Circuit, circuit_picture, circuit_rows
from vla_training.demo.driving import DrivingDemoOptions, run_driving_demo
from vla_training.errors import EvaluationError

SMALL = {"channels": (32, 48), "strides": (2, 2), "image_size": 16, "measure_features": 8, "fused": 16, "branch": (16,)}


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A dense and a gated driver with random weights; each command has tiles of its own."""
    from driving_samples import DrivingTiles, torch

    from vla_models.driving_tiles.config import DrivingTilesConfig
    from vla_models.saved import save_policy

    torch.manual_seed(0)
    for name in ("dense", "gated"):
        config = DrivingTilesConfig(**SMALL, gated=name == "gated")
        policy = DrivingTiles(config)
        if policy.gates is not None:
            with torch.no_grad():
                policy.gates.logits.weight.normal_(std=9.0)
                policy.gates.logits.bias.fill_(0.3)
        (tmp_path / "policies" / name).mkdir(parents=True)
        save_policy(tmp_path / "policies" / name, "driving_tiles", config, policy.state_dict())
    return tmp_path / "policies"


def circuit(command: str, tiles: tuple[tuple[int, ...], ...], cycles: int, equal: bool = True) -> Circuit:
    return Circuit(command, tiles, sum(map(sum, tiles)) / 5, 10, 20, cycles, cycles, equal, 0.0123)


def test_rows_and_picture_of_circuits() -> None:
    found = [circuit("dense", ((1, 1), (1, 1, 1)), 500), circuit("stop <now>", ((1, 0), (1, 0, 0)), 250)]
    assert circuit_rows(found)[1] == ("stop <now>", "40 %", "40 %", "20", "250", "50 %", "0.012")
    picture = circuit_picture(found)
    assert picture.count("#4878a8") == 2 and picture.count("#e4e4e4") == 3 and "stop &lt;now&gt;" in picture


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "--episodes is 0"),
        ({"rtl_frames": 0}, "--rtl-frames is 0"),
        ({"hardware": ("tiny", "tiny")}, "--hardware names 'tiny' more than once"),
        ({"hardware": ("tiny", "other/tiny.toml")}, "--hardware names 'tiny' more than once"),
        ({"policies": Path("nowhere")}, "there is no saved policy nowhere/dense"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str, policies: Path) -> None:
    with pytest.raises(EvaluationError, match=message):
        DrivingDemoOptions(**{"policies": policies, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("below", [".", "demo"])
def test_the_folder_of_the_policies_is_no_output(policies: Path, below: str) -> None:
    """Models and programs would lie in a policy's own folder, and change what it is."""
    with pytest.raises(EvaluationError, match="in the folder of the policies; give another one"):
        DrivingDemoOptions(policies=policies, out=policies / below)


def test_an_unknown_level_is_refused_before_the_work(policies: Path, tmp_path: Path) -> None:
    pytest.importorskip("panda3d")
    with pytest.raises(VlaError, match="nowhere"):
        run_driving_demo(DrivingDemoOptions(policies, tmp_path / "demo", level="nowhere"), Console(quiet=True))
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_every_stage(policies: Path, tmp_path: Path) -> None:
    pytest.importorskip("panda3d")
    options = DrivingDemoOptions(
        policies, tmp_path / "demo", episodes=1, rtl_frames=2, demonstrations=2, workers=1, hardware=("tiny",)
    )
    console = Console(record=True, width=80, quiet=False, file=(tmp_path / "log").open("w"))
    results = run_driving_demo(options, console)
    assert all(check.equal and check.frames == 2 for check in results.checks.values()) and len(results.checks) == 2
    assert len(results.circuits) == 7 and all(c.equal for c in results.circuits)
    assert len({c.rtl_cycles for c in results.circuits}) > 2
    some_off = [c for c in results.circuits if not all(map(all, c.tiles))]
    assert some_off and all(c.rtl_cycles < results.circuits[0].rtl_cycles and c.share < 1 for c in some_off)
    assert all(c.error < 0.05 for c in results.circuits), [c.error for c in results.circuits]
    page = (options.out / "report.html").read_text()
    assert "data:image/gif;base64," in page and "McNemar" in page and "SHA-256" in page and "#e4e4e4" in page
    assert not re.search(r"(src|href)=.https?:", page) and "<script" not in page
    said = console.export_text()
    assert "…" not in said and max(map(len, said.splitlines()[:-1])) <= 80
    run_driving_demo(options, console)
    assert console.export_text().count("unchanged") == len(results.seconds)
    wrong = dataclasses.replace(results, circuits=[dataclasses.replace(results.circuits[1], equal=False)])
    with pytest.raises(EvaluationError, match="on rtl differs from sim"):
        wrong.refuse_differences()
