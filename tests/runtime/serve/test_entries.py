"""A request names its entry point: a prompt once, then steps on the state that it left, each client with its own."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import vlarun
from vla_isa import image
from vla_isa.hardware import load
from vlac import CompileOptions
from vlac.graphs import compile_graphs

from .conftest import running
from .test_server import client

pytestmark = pytest.mark.timeout(120)


def graph(inputs: dict[str, int], output: str, seed: int):
    """A product of every input, summed."""
    rng = np.random.default_rng(seed)
    nodes, weights, names = [], [], []
    for name, size in inputs.items():
        weights.append(numpy_helper.from_array(rng.standard_normal((size, 16), np.float32), f"w_{name}"))
        nodes.append(helper.make_node("MatMul", [name, f"w_{name}"], [f"y_{name}"]))
        names.append(f"y_{name}")
    nodes.append(helper.make_node("Relu" if len(names) == 1 else "Add", names, [output]))
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, size)) for n, size in inputs.items()]
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, (1, 16))
    return helper.make_model(
        helper.make_graph(nodes, "g", given, [made], weights),
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 18)],
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    models = {"look": graph({"seen": 32}, "memory", 1), "step": graph({"x": 24, "past": 16}, "action", 2)}
    samples = {
        "look": CompileOptions(calibration=[{"seen": rng.standard_normal((1, 32), np.float32)} for _ in range(4)]),
        "step": CompileOptions(calibration=[{"x": rng.standard_normal((1, 24), np.float32)} for _ in range(4)]),
    }
    found = compile_graphs(models, load("tiny"), samples, [("step:past", "look:memory")])
    path = tmp_path_factory.mktemp("entries") / "prog.bin"
    path.write_bytes(image.dumps(found.program))
    return path


def test_each_client_steps_on_what_it_saw(file: Path) -> None:
    wrong: list[str] = []

    def act(port_of: object, who: int) -> None:
        rng, policy, alone = np.random.default_rng(who), client(port_of), vlarun.Session(file)  # type: ignore[arg-type]
        for _ in range(5):
            seen = rng.standard_normal((1, 32), np.float32)
            alone.forget()
            wanted = [alone.run({"seen": seen}, entry="look")["memory"]]
            found = [policy.infer({"seen": seen, "entry": "look", "reset": True})["memory"]]
            for _ in range(3):
                x = rng.standard_normal((1, 24), np.float32)
                wanted.append(alone.run({"x": x}, entry="step")["action"])
                found.append(policy.infer({"x": x, "entry": "step"})["action"])
            if not all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True)):
                wrong.append(f"client {who}")

    with running(file) as server:
        entries = client(server).get_server_metadata()["entries"]
        assert {name: (list(e["inputs"]), list(e["outputs"])) for name, e in entries.items()} == {
            "look": (["seen"], ["memory"]),
            "step": (["x", "past"], ["action"]),
        }
        assert entries["step"]["inputs"]["past"]["optional"]
        threads = [threading.Thread(target=act, args=(server, who)) for who in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"entry": "stop"}, "no entry point 'stop'; it has look, step"),
        ({"entry": "look+step"}, "no entry point 'look\\+step'"),
        ({"entry": 7}, "no entry point 7"),
        ({"entry": ["look"]}, "no entry point"),
        ({"x": np.zeros((1, 24), np.float32), "entry": "look"}, "'x'"),
        ({"x": np.zeros((1, 24), np.float32), "entry": "step"}, "is what entry point 'look' makes"),
    ],
    ids=["unknown", "united", "number", "list", "input of another", "before the prompt"],
)
def test_what_is_refused(file: Path, request_: dict[str, object], text: str) -> None:
    with running(file) as server:
        policy = client(server)
        with pytest.raises(RuntimeError, match=text):
            policy.infer(request_)
        found = policy.infer({"seen": np.ones((1, 32), np.float32)})  # the first entry point; the connection is open
        assert found["memory"].shape == (1, 16)
        assert server.stop() == 0
