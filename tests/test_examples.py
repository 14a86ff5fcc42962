"""The examples run and print what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(name: str, *arguments: str | Path, code: int = 0) -> list[str]:
    """The lines that an example prints, run as a user would."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [p.name for p in (ROOT / "examples").glob("*.py") if f'"{p.name}"' not in text] == []


def test_compile_and_run() -> None:
    lines = run("compile_and_run.py", "--no-rtl")
    assert lines[0].startswith("sim: ") and lines[-1] == "all bytes are equal"


@pytest.mark.parametrize("name", ["where_the_cycles_go.py", "compile_and_run.py", "babyai_episode.py"])
def test_a_bad_file_is_a_message(name: str, tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("junk")
    line = [sys.executable, str(ROOT / "examples" / name), str(tmp_path / "junk")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "junk" in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_compile_and_run_on_both() -> None:
    lines = run("compile_and_run.py")
    assert [line.split(":")[0] for line in lines] == ["sim", "rtl", "scores", "all bytes are equal"]


@pytest.mark.slow
def test_with_the_policy(tmp_path: Path) -> None:
    """An untrained policy: whether it succeeds is chance, but it plays."""
    torch = pytest.importorskip("torch", reason="pip install .[train,envs]")
    pytest.importorskip("minigrid", reason="pip install .[train,envs]")
    from vla_models.export_onnx import export_onnx
    from vla_models.registry import find_policy
    from vla_toolchain.vlac_cli import main as vlac

    torch.manual_seed(0)
    spec = find_policy("babyai_cnn")
    export_onnx(spec.make(spec.configured({"channels": [8, 8, 8], "hidden": 16})), tmp_path / "model.onnx")
    program = tmp_path / "prog.bin"
    assert vlac(["compile", str(tmp_path / "model.onnx"), "-o", str(program), "--calib", "random:2"]) == 0

    lines = run("where_the_cycles_go.py", program)
    assert "MACs in about" in lines[0] and any("node_conv2d" in line for line in lines)
    command = [sys.executable, str(ROOT / "examples" / "babyai_episode.py"), str(program), "--seed", "1073741824"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("go to") and lines[-1] == ("failure" if done.returncode else "success")
    assert all(line.endswith(" cycles") for line in lines[1:-1])


@pytest.mark.slow
def test_act_policy() -> None:
    pytest.importorskip("torch", reason="pip install .[train]")
    lines = run("act_policy.py")
    assert [line.split(" ", 1)[1] for line in lines[-3:]] == [
        "MACs, nothing on the host",
        "cycles a chunk on u50, by the performance model",
        "dB from float",
    ]
