"""The mixture on the device: routed by the mission it is given, or compiled for one; the same bytes.

A narrow policy of random weights: what it chooses differs between missions, and that is all that matters here.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import vlarun
from vla_isa.encoding import decode
from vla_isa.hardware import load
from vla_isa.trace import packets
from vla_models.babyai_cnn.words import bag_of_words
from vlac import CompileOptions, compile_file
from vlarun.backends import RtlBackend, SimBackend
from vlarun.compare import compare
from vlarun.inputs import to_integers

VERBS = ("go to", "pick up", "go to the left of", "open", "put the red ball next to")
THINGS = itertools.product(("the", "a"), ("blue", "green", "grey", "purple", "red"), ("ball", "box"))
MISSIONS = [f"{verb} {' '.join(thing)}" for thing in THINGS for verb in VERBS]
SMALL = {"channels": 8, "cell_features": 4, "hidden": 64, "kept": 16, "mission_features": 16, "action_features": 4}


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The policy with its scales, as ONNX; calibrated with all missions."""
    import torch

    from vla_models.export_onnx import export_onnx
    from vla_models.registry import find_policy

    torch.manual_seed(1)
    spec = find_policy("babyai_moe")
    policy = spec.make(spec.configured(SMALL))
    with torch.no_grad():
        policy.router.logits.weight *= 10  # as after training
    path = tmp_path_factory.mktemp("moe") / "model.onnx"
    export_onnx(policy, path)
    samples = [frame(n) for n in range(len(MISSIONS))]
    return compile_file(path, load("tiny"), CompileOptions(calibration=samples)).quantized.qdq


def frame(number: int) -> dict[str, np.ndarray]:
    """What the policy sees in a mission."""
    rng = np.random.default_rng(number)
    return {
        "image": rng.random((1, 12, 56, 56), np.float32),
        "mission": bag_of_words(MISSIONS[number])[np.newaxis],
        "previous_action": np.eye(7, dtype=np.float32)[[number % 7]],
    }


def program(quantized: Any, **how: Any) -> Any:
    """A program of the quantized policy."""
    return compile_file(quantized, load("tiny"), CompileOptions(**how)).program


@pytest.fixture(scope="module")
def separately(quantized: Any) -> list[bytes]:
    """The logits of each mission's own program, on `sim`."""
    found = []
    for number in range(len(MISSIONS)):
        inputs = frame(number)
        session = vlarun.Session(program(quantized, constants={"mission": inputs["mission"]}))
        assert [value.name for value in session.program.model_inputs] == ["image", "previous_action"]
        del inputs["mission"]
        found.append(session.run(inputs, raw=True)["action_logits"].tobytes())
    assert len(set(MISSIONS)) == len(set(found)) == 100
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sim", "rtl"])
def test_a_hundred_missions_give_the_same_bytes(quantized: Any, separately: list[bytes], backend: str) -> None:
    """One program, loaded once, gets the mission."""
    routed = program(quantized)
    given = [decode(raw) for raw in packets(routed)]
    assert sum(p.name == "SET" for p in given) == 2  # a router's number for each layer, nothing on the host
    assert sum(p.name == "COPY" and p["index_enable"] == 1 for p in given) >= 2
    frames = [frame(number) for number in range(len(MISSIONS))]
    joined = {name: np.concatenate([each[name] for each in frames]) for name in frames[0]}
    found = vlarun.Session(routed, backend).run(joined, raw=True)["action_logits"]
    for mission, logits, expected in zip(MISSIONS, found, separately, strict=True):
        assert logits.tobytes() == expected, mission


def test_the_machine_routes_alike(quantized: Any) -> None:
    routed = program(quantized)
    for number in (0, 7, 52):
        inputs = frame(number)
        fixed = program(quantized, constants={"mission": inputs["mission"]})
        for each in (routed, fixed):
            taken = {value.name: inputs[value.name] for value in each.model_inputs}
            difference = compare(each, (SimBackend(), RtlBackend()), to_integers(each, taken))
            assert difference is None, difference.message(("sim", "rtl"))
