"""What a user meets at all four command lines: help, versions, Ctrl-C, full disks, missing extras, no telemetry."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import vla_datasets.cli
import vla_training.cli
from vla_isa import __version__
from vla_toolchain import vlac_cli, vlarun_cli

MODULES = {
    "vlac": "vla_toolchain.vlac_cli",
    "vlarun": "vla_toolchain.vlarun_cli",
    "vla-collect": "vla_datasets.cli",
    "vla-train": "vla_training.cli",
}
PARSERS = [vlac_cli._parser, vlarun_cli._parser, vla_datasets.cli._parser, vla_training.cli._parser]


def command(name: str, *arguments: str | Path, before: str = "") -> list[str]:
    """A command line of the project as a process of its own; `before` are statements that run first.

    It says "up" once it has begun: what comes between an interpreter's start and that is Python's, not ours.
    """
    up = "begun = c._open_streams\nc._open_streams = lambda: (begun(), print('up', flush=True))"
    imports = f"import sys; {before}\nfrom {MODULES[name]} import main\nimport vla_isa.command_line as c"
    code = f"{imports}\n{up}\nsys.exit(main())"
    return [sys.executable, "-c", code, *map(str, arguments)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx (x [1, 8] -> Relu -> y), its program and an input."""
    folder = tmp_path_factory.mktemp("work")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    np.savez(folder / "in.npz", x=np.linspace(-1, 1, 8, dtype=np.float32)[None])
    assert (
        vlac_cli.main(["compile", str(folder / "model.onnx"), "-o", str(folder / "p.bin"), "--calib", "random:1"]) == 0
    )
    return folder


def every_parser() -> list[argparse.ArgumentParser]:
    tops = [make() for make in PARSERS]
    return [*tops, *(p for t in tops if t.commands for p in t.commands.choices.values())]


@pytest.mark.parametrize("parser", every_parser(), ids=lambda p: p.prog)
def test_every_argument_has_help_that_fits_a_terminal(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        assert action.help, action.option_strings or action.dest
    assert max(map(len, parser.format_help().splitlines())) <= 80 or "COLUMNS" in os.environ


@pytest.mark.parametrize("name", MODULES)
def test_versions_and_bare_commands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = sys.modules[MODULES[name]].main
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{name} {__version__}\n"
    assert main([]) == 2
    assert "usage: " + name in (shown := capsys.readouterr().err) and "COMMAND" in shown


@pytest.mark.parametrize("module", ["vlac", "vlarun", "vla_datasets", "vla_training"])
def test_packages_run_as_modules(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f" {__version__}\n")


@pytest.mark.parametrize("name", MODULES)
def test_help_imports_nothing_heavy(name: str) -> None:
    watched = ("numpy", "onnx", "onnxruntime", "sympy", "torch", "pyarrow", "rich")
    code = (
        f"import sys; from {MODULES[name]} import main; main(['--help'])\n"
        f"print([m for m in {watched} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_hints_at_the_command_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for word, hint in (("model.onnx", "'vlac compile model.onnx -o prog.bin'"), ("compil", "'compile'")):
        assert vlac_cli.main([word]) == 2
        assert f"Did you mean {hint}?" in capsys.readouterr().err


def test_a_program_called_like_a_command(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("compare", "conformance", "run"):
        (tmp_path / name).write_bytes((work / "p.bin").read_bytes())
        for arguments in ([f"./{name}"], ["run", name]):
            assert vlarun_cli.main([*arguments, "--input", str(work / "in.npz")]) == 0
            assert capsys.readouterr().out.startswith("y float32 [1, 8]: ")
        assert vlarun_cli.main([name, "--input", str(work / "in.npz")]) == 2
        assert f"'vlarun ./{name}'" in capsys.readouterr().err


def interruptible() -> None:
    """Heed Ctrl-C, which a shell tells what it starts in the background to ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("name", ["vlac", "vlarun", "vla-collect", "vla-train"])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3, 0.6, 1.0])
def test_an_interrupt_at_any_time_is_one_line(name: str, delay: float, work: Path, tmp_path: Path) -> None:
    arguments: dict[str, list[str | Path]] = {
        "vlac": ["compile", work / "model.onnx", "-o", tmp_path / "p.bin", "--calib", "random:99999"],
        "vlarun": ["conformance", "--suite", "T2", "--programs", "100000"],
        "vla-collect": ["babyai", "--episodes", "100000", "--out", tmp_path / "data", "--workers", "2"],
        "vla-train": ["demo", "--out", tmp_path / "demo", "--workers", "2"],
    }
    process = subprocess.Popen(
        command(name, *arguments[name]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
    try:
        _, error = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    lines = [line for line in error.splitlines() if not line.startswith(("collect", "BabyAI"))]  # progress of the demo
    assert (process.returncode, len(lines)) == (130, 1) and lines[0].startswith("stopped"), error
    assert list(tmp_path.glob("*.bin")) == [] and list(tmp_path.glob(".*")) == []


def test_an_interrupt_inside_an_import_that_swallows_it(tmp_path: Path) -> None:
    """A library with a bare `except` around its imports, which a command imports when it needs it."""
    careless = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    sum(range(1000))\nexcept: pass\n"
    (tmp_path / "careless.py").write_text(careless)
    late = "def late(args):\n    import careless\n    time.sleep(60)"
    imports = f"import sys, time\nimport vlarun.commands as c\nfrom {MODULES['vlarun']} import main"
    code = f"{imports}\nsys.path.insert(0, sys.argv.pop())\n{late}\nc.run = late\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "p.bin", "--input", "in.npz", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        preexec_fn=interruptible,
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_an_interrupt_of_a_command_that_an_import_runs(tmp_path: Path) -> None:
    """The import that never ends is not the command's."""
    late = "def late(args):\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)"
    imports = f"import os, signal, sys, time\nimport vlarun.commands as c\nfrom {MODULES['vlarun']} import main"
    (tmp_path / "script.py").write_text(f"{imports}\n{late}\nc.run = late\nsys.exit(main(['p.bin', '--input', 'x']))\n")
    done = subprocess.run(
        [sys.executable, "-c", "import script"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        preexec_fn=interruptible,
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_output_that_nobody_can_take(work: Path) -> None:
    for name, arguments in (
        ("vlac", ["info", work / "p.bin"]),
        ("vlac", ["info", work / "p.bin", "--json"]),
        ("vlac", ["ops"]),
        ("vlac", ["configs"]),
        ("vlarun", [work / "p.bin", "--input", work / "in.npz"]),
        ("vlarun", [work / "p.bin", "--input", work / "in.npz", "--json"]),
    ):
        line = [sys.executable, "-m", MODULES[name], *map(str, arguments)]
        with open("/dev/full", "w") as full:
            done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "error: the output: No space left on device\n"), line
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, ""), line


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=["out", "error", "all"])
def test_streams_that_are_closed(work: Path, tmp_path: Path, closed: tuple[int, ...]) -> None:
    """What a file descriptor leads to matters: the first file that is opened would be number 1."""
    for name, arguments in (
        ("vlac", ["--version"]),
        ("vlac", ["info", work / "p.bin"]),
        ("vlarun", [work / "p.bin", "--input", work / "in.npz", "--output", tmp_path / "out.npz"]),
        ("vla-train", ["train", "--config", "debug", "--options"]),
    ):
        line = [sys.executable, "-m", MODULES[name], *map(str, arguments)]
        done = subprocess.run(line, preexec_fn=lambda: [os.close(n) for n in closed], check=False)
        assert done.returncode == 0, line
    with np.load(tmp_path / "out.npz") as stored:
        assert stored.files == ["y"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vla-train", ["train", "--config", "debug", "--data", "d", "--out", ""]),
        ("vla-train", ["export", "--policy", "", "-o", "m.onnx"]),
        ("vla-train", ["evaluate", "", "--level", "GoToObj"]),
        ("vla-train", ["demo", "--out", ""]),
        ("vla-collect", ["babyai", "--out", ""]),
        ("vlac", ["compile", "m.onnx", "-o", "p.bin", "--report", ""]),
        ("vlac", ["info", ""]),
        ("vlarun", ["", "--input", "x.npz"]),
        ("vlarun", ["p.bin", "--input", "x.npz", "--output", ""]),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    name: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sys.modules[MODULES[name]].main(arguments) == 2
    assert "it is empty; give a path" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("vlac", ["compile", "model.onnx", "-o", "q.bin", "--calib", "/dev/zero"], "is a device or a pipe"),
        ("vlac", ["compile", "model.onnx", "-o", "q.bin", "--config", "zero.toml"], "is a device or a pipe"),
        ("vlarun", ["p.bin", "--input", "/dev/zero"], "is a device or a pipe"),
        ("vlarun", ["p.bin", "--input", "in.npz", "--backend", "ref", "--onnx", "/dev/zero"], "is a device or a pipe"),
        ("vlarun", ["conformance", "--seed", "-1"], "-1 is less than 0"),
        ("vla-train", ["demo", "--episodes", "0"], "--episodes is 0; it must be at least 1"),
        ("vla-train", ["demo", "--rtl-frames", "-5"], "--rtl-frames is -5; it must be at least 1"),
        ("vla-train", ["demo", "--hardware", "tiny,tiny"], "--hardware names 'tiny' more than once"),
        ("vla-train", ["evaluate", ".", "--level", "GoToObj", "--episodes", "9" * 30], "and at most 10,000,000"),
    ],
)
def test_what_would_never_end_or_fail_late_is_refused_at_once(
    name: str,
    arguments: list[str],
    message: str,
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for file in work.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert sys.modules[MODULES[name]].main(arguments) in (1, 2)
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "package", "extra", "arguments"),
    [
        ("vla-collect", "pyarrow", "envs", ["babyai", "--out", "data"]),
        ("vla-collect", "minigrid", "envs", ["babyai", "--out", "data"]),
        ("vla-train", "torch", "train", ["train", "--config", "debug", "--data", "data", "--out", "run"]),
        ("vla-train", "torch", "train", ["export", "--policy", ".", "-o", "m.onnx"]),
        ("vla-train", "pyarrow", "train", ["demo", "--out", "run"]),
        ("vla-train", "gymnasium", "envs", ["evaluate", "p.bin", "--level", "GoToObj"]),
    ],
)
def test_missing_extras_are_named(name: str, package: str, extra: str, arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "p.bin").write_bytes(b"")
    line = command(name, *arguments, before=f"sys.modules[{package!r}] = None")
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"pip install 'vla-toolchain[{extra}]'" in done.stderr, done.stderr
    assert f"package '{package}'" in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["p.bin"]


def test_out_of_memory_is_a_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import vlarun.commands

    def fail(args: argparse.Namespace) -> int:
        raise MemoryError

    monkeypatch.setattr(vlarun.commands, "run", fail)
    assert vlarun_cli.main(["p.bin", "--input", "in.npz"]) == 1
    assert capsys.readouterr().err.startswith("error: out of memory")


# --- telemetry ----------------------------------------------------------------------------------------------

LIBRARY = """
import vlac, vlarun, numpy as np
from vla_isa import hardware
program = vlac.compile_model("model.onnx", hardware.load("u50"), vlac.CompileOptions(calibration="random:1"))
vlarun.Session(program).run({"x": np.zeros((1, 8), np.float32)})
"""


@pytest.mark.parametrize(
    "lines",
    [
        [["-m", "vlac", "compile", "model.onnx", "-o", "q.bin", "--calib", "random:1", "--verify"]],
        [["-m", "vlarun", "p.bin", "--input", "in.npz"]],
        [["-m", "vlarun", "p.bin", "--input", "in.npz", "--backend", "ref", "--onnx", "model.onnx"]],
        [["-c", LIBRARY]],
        [["-c", "import vla_models, onnxruntime"], ["-c", "import vla_training.evaluate.runners, onnxruntime"]],
        [["-c", "import vla_models.export_onnx"]],
    ],
    ids=["vlac", "vlarun", "ref", "library", "packages", "export"],
)
def test_nothing_is_written_outside_the_cache_of_the_toolchain(
    lines: list[list[str]], work: Path, tmp_path: Path
) -> None:
    """ONNX Runtime would write a database into the user's cache folder when it is loaded."""
    given = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment = given | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for line in lines:
        subprocess.run([sys.executable, *line], cwd=work, env=environment, check=True, capture_output=True)
    written = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert [p for p in written if p.parts[:2] != ("cache", "vlarun")] == []


def test_telemetry_stays_on_only_for_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    from vla_isa import telemetry

    calls: list[str] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append("off"))
    monkeypatch.setenv(telemetry.VARIABLE, "0")
    telemetry.switch_off()
    assert (os.environ[telemetry.VARIABLE], calls) == ("0", [])
    monkeypatch.delenv(telemetry.VARIABLE)
    telemetry.switch_off()
    assert (os.environ[telemetry.VARIABLE], calls) == ("1", ["off"])
