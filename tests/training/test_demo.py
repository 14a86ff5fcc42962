"""The demo's stages, frame comparison and report, with a stand-in for compiler and device."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_device import FakeSession
from rich.console import Console

from vla_training.demo.charts import line_chart
from vla_training.demo.run import DemoOptions, run_demo
from vla_training.demo.stages import StageLog, package_digest
from vla_training.errors import EvaluationError


def test_demo_end_to_end(tmp_path: Path, fake_device: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    options = DemoOptions("debug", tmp_path / "demo", episodes=2, rtl_frames=3, workers=1)
    console = Console(record=True, width=200, quiet=True)
    console.quiet = False
    console.file = (tmp_path / "log").open("w")
    results = run_demo(options, console)
    assert [call[call.index("--config") + 1] for call in fake_device] == ["u50", "tiny"]
    assert results.checks[0].equal and results.checks[0].frames >= 3
    assert results.checks[0].utilization == pytest.approx(11_580_000 / 20_000 / 2048)
    page = (options.out / "report.html").read_text()
    assert "data:image/gif;base64," in page and "McNemar" in page and "SHA-256" in page
    assert not re.search(r"(src|href)=.https?:", page) and "<script" not in page

    run_demo(options, console)
    assert len(fake_device) == 2  # nothing changed, nothing compiled again
    assert console.export_text().count("unchanged") == 11

    given: dict[str, object] = {}
    with monkeypatch.context() as patched:  # who prepares a policy's inputs is code of these stages too
        patched.setattr("vla_training.demo.run.package_digest", lambda *packages: packages)
        patched.setattr(StageLog, "run", lambda self, name, inputs, *more: given.update({name: inputs["code"]}))
        run_demo(options, console)
    for name in ("calibrate", "evaluate-float", "evaluate-sim", "record"):
        assert "vla_models" in given[name], name

    (options.out / "calib.npz").write_bytes(b"damaged")
    monkeypatch.setattr(FakeSession, "error", 1)
    (options.out / "stages/rtl-u50.json").unlink()
    with pytest.raises(EvaluationError, match=r"'u50': rtl and sim differ: frame 0, 'action_logits'\[0, 0\]"):
        run_demo(options, console)
    assert len(fake_device) == 2  # the calibration file was made again, with the same bytes
    console.file.close()


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_the_demo_itself(tmp_path: Path) -> None:
    """`make demo-short`: every stage with the real compiler and both machines."""
    options = [
        *["--config", "debug", "--hardware", "tiny", "--episodes", "2", "--rtl-frames", "2", "--workers", "1", "--out"],
        str(tmp_path),
    ]
    line = [sys.executable, "-m", "vla_training", "demo", *options, "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    check = json.loads((tmp_path / "rtl-tiny.json").read_text())
    assert check["equal"] and check["frames"] >= 2 and check["rtl_cycles"] > 0
    played = json.loads((tmp_path / "evaluate-sim.json").read_text())
    assert played["backend"] == "sim" and len(played["results"]) == 2
    assert "data:image/gif;base64," in (tmp_path / "report.html").read_text()
    table = done.stderr[done.stderr.index("recorded frames") :]
    assert "…" not in table and max(map(len, done.stderr.splitlines()[:-1])) <= 80


def test_a_refusing_compiler_stops_the_demo(
    tmp_path: Path, fake_device: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["vla_toolchain.vlac_cli"], "main", lambda arguments: 1)
    options = DemoOptions("debug", tmp_path / "demo", episodes=1, rtl_frames=1, workers=1)
    with pytest.raises(EvaluationError, match="ended with exit code 1"):
        run_demo(options, Console(quiet=True))


def test_a_stage_runs_again_only_when_something_changed(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("a")
    runs: list[str] = []

    def work() -> None:
        runs.append(source.read_text())
        target.write_text(source.read_text().upper())

    def stage(option: int = 0) -> None:
        StageLog(tmp_path / "stages", lambda text: None).run("copy", {"in": source, "n": option}, [target], work)

    stage()
    stage()
    assert runs == ["a"]
    target.write_text("edited")
    stage()
    source.write_text("b")
    stage()
    stage(option=1)
    assert runs == ["a", "a", "b", "b"] and target.read_text() == "B"


def test_package_digest_sees_sources() -> None:
    assert package_digest("vla_training") == package_digest("vla_training") != package_digest("vla_models")


def test_charts_are_empty_without_points() -> None:
    assert line_chart("loss", [(1, 0.5)], logarithmic=True) == ""
    assert "<polyline" in line_chart("loss", [(1, 0.5), (2, 0.0), (3, 0.1)], logarithmic=True)
