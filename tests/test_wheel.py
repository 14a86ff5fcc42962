"""`pip install .` into an empty environment gives vlac and vlarun, and both backends work outside the checkout.

The environment has no extras (so no PyTorch) and sees nothing of the checkout. Needs the package registry.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("src", "lib", "sva", "sim", "generated")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder with nothing of this Python environment; returns what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))}
    path = os.pathsep.join(p for p in kept["PATH"].split(os.pathsep) if not p.startswith(sys.prefix))
    environment = kept | {"PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "VLARUN_RTL_OPTIMIZE": "0"}
    done = subprocess.run(
        [str(c) for c in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def small_network() -> onnx.ModelProto:
    """Conv, Relu, Flatten, Gemm with seeded weights: image [1, 3, 8, 8] to scores [1, 4]."""
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 3, 3, 3), "b": (8,), "v": (4, 288), "c": (4,)}
    constants = [numpy_helper.from_array(rng.standard_normal(s, np.float32) / 4, n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["y"], name="conv"),
        helper.make_node("Relu", ["y"], ["z"], name="relu"),
        helper.make_node("Flatten", ["z"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v", "c"], ["scores"], name="gemm", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 4))
    graph = helper.make_graph(nodes, "net", [image], [scores], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of an empty environment into which the wheel of the checkout was installed."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=True)
    pip = (folder / "env" / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, folder=folder)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", "--quiet", wheel, folder=folder)
    return folder / "env" / "bin"


def test_the_wheel_holds_the_machine_and_nothing_else_of_the_checkout(installed: Path) -> None:
    (wheel,) = installed.parents[1].glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in SOURCES:
        for path in (ROOT / "rtl" / folder).iterdir():
            assert path.name.startswith(".") or f"vlarun/_rtl/{folder}/{path.name}" in names, path
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == {"vla_isa", "vlac", "vlarun", "vla_toolchain", "vla_models", "vla_datasets", "vla_training"}
    kernels = {f"vlarun/native/kernels/{p.name}" for p in (ROOT / "runtime/vlarun/native/kernels").iterdir()}
    assert {f"{top}/py.typed" for top in tops} | {"vla_isa/configs/tiny.toml"} | kernels <= names


def test_metadata(installed: Path, tmp_path: Path) -> None:
    code = "from importlib.metadata import metadata as m; import vlac; d = m('vla-toolchain'); print(d['Version'] == "
    code += "vlac.__version__, d['Author'], d['Keywords'], *d.get_all('Classifier'), *d.get_all('Requires-Dist'))"
    printed = run(installed / "python", "-c", code, folder=tmp_path)
    assert printed.startswith("True VLA toolchain contributors") and "Typing :: Typed" in printed


@pytest.mark.parametrize(("command", "extra"), [("vla-collect babyai --out d", "envs"), ("vla-train demo", "train")])
def test_commands_name_the_extra_that_they_need(installed: Path, tmp_path: Path, command: str, extra: str) -> None:
    name, *arguments = command.split()
    line = [str(installed / name), *arguments]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"pip install 'vla-toolchain[{extra}]'" in done.stderr, done.stderr


def test_no_extras(installed: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([m for m in ('torch', 'pyarrow', 'pytest') if u.find_spec(m)])"
    assert run(installed / "python", "-c", code, folder=tmp_path).strip() == "[]"
    assert str(ROOT) not in run(installed / "python", "-c", "import vlarun; print(vlarun.__file__)", folder=tmp_path)


def test_compile_and_run_on_both_backends(installed: Path, tmp_path: Path) -> None:
    onnx.save(small_network(), tmp_path / "model.onnx")
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image)
    compile_ = (installed / "vlac", "compile", "model.onnx", "-o", "p.bin", "--config", "tiny", "--calib", "random:2")
    assert "instructions for 'tiny'" in run(*compile_, folder=tmp_path)
    for backend in ("sim", "rtl"):
        arguments = ("p.bin", "--input", "in.npz", "--output", f"{backend}.npz", "--backend", backend)
        run(installed / "vlarun", *arguments, folder=tmp_path)
    with np.load(tmp_path / "sim.npz") as sim, np.load(tmp_path / "rtl.npz") as rtl:
        assert sim.files == rtl.files and len(sim.files) == 1
        name = sim.files[0]
        assert np.array_equal(sim[name], rtl[name]) and np.ptp(sim[name]) > 0
    header = run(installed / "vlarun", "conformance", "--show-header", folder=tmp_path).strip()
    assert header.endswith("vlarun/_rtl/sim/vla_api.h") and Path(header).is_file()
    assert "agree on 1 run" in run(installed / "vlarun", "compare", "p.bin", "--input", "in.npz", folder=tmp_path)
