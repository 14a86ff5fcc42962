"""A program and an exported graph are run with the policy that they were made from, and with no other one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from vla_isa import image
from vla_models.errors import PolicyError
from vla_models.registry import find_policy
from vla_models.weights_id import POLICY, id_of, saved_id
from vla_toolchain.serve_command import _policy
from vla_toolchain.vlac_cli import main as vlac
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.runners import network_runner
from vlarun import Session, open_session

OPTIONS = {"method": "direct", "width": 16, "blocks": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two policies of one kind, saved and exported; programs of the first, and of both."""
    torch = pytest.importorskip("torch")

    from vla_models.export_onnx import export_onnx
    from vla_models.saved import save_whole_policy

    root, spec = tmp_path_factory.mktemp("policies"), find_policy("mlp_policy")
    for number, name in enumerate("ab"):
        torch.manual_seed(number)
        config = spec.configured(OPTIONS)
        policy = spec.make(config)
        save_whole_policy(root / name, spec.name, config, policy.state_dict())
        assert id_of(policy) == saved_id(root / name)
        export_onnx(policy, root / f"{name}.onnx")
    common = ["--config", "tiny", "--calib"]
    assert vlac(["compile", str(root / "a.onnx"), "-o", str(root / "a.bin"), *common, "random:2"]) == 0
    graphs = [f"{name}={root / name}.onnx" for name in "ab"]
    assert vlac(["compile", *graphs, "-o", str(root / "both.bin"), *common, "a=random:2", "--calib", "b=random:2"]) == 0
    return root


def inputs(session: Session) -> dict[str, Any]:
    values, _ = session.wanted_inputs()
    return {v.name: np.random.default_rng(0).standard_normal(v.shape).astype(np.float32) for v in values}


def test_a_program_of_both_runs_the_one_that_is_asked_for(made: Path) -> None:
    session = open_session(made / "both.bin")
    assert isinstance(session, Session)
    assert session.program.policies == {name: saved_id(made / name) for name in "ab"}
    given = inputs(session)
    wanted = {name: session.run(given, entry=name)["actions"] for name in "ab"}
    assert not np.array_equal(wanted["a"], wanted["b"])
    for name, array in wanted.items():
        runner = network_runner(RunnerSpec("sim", made / "both.bin", str(made / name)))
        assert np.array_equal(runner._compute(given)["actions"], array)


@pytest.mark.parametrize(("backend", "file"), [("sim", "a.bin"), ("onnx", "a.onnx")])
def test_another_policy_is_refused(made: Path, backend: str, file: str) -> None:
    network_runner(RunnerSpec(backend, made / file, str(made / "a")))  # its own
    with pytest.raises(PolicyError, match=rf"{file}, '.*', was made from the weights '{saved_id(made / 'a')}'"):
        network_runner(RunnerSpec(backend, made / file, str(made / "b")))


def test_nor_is_it_served(made: Path) -> None:
    session = open_session(made / "a.bin")
    _policy(str(made / "a"), session)
    with pytest.raises(PolicyError, match=r"those of .*b are"):
        _policy(str(made / "b"), session)


def test_what_does_not_say_whose_it_is_may_be_any(made: Path, tmp_path: Path) -> None:
    """Programs of other exporters, and of before."""
    program = image.load(made / "a.bin")
    assert list(program.policies.values()) == [saved_id(made / "a")]
    for said in ({}, {"policies": None}, {"policies": ["a"]}):
        program.manifest = said
        image.save(program, tmp_path / "p.bin")
        network_runner(RunnerSpec("sim", tmp_path / "p.bin", str(made / "b")))
    model = onnx.load(made / "a.onnx")
    assert {p.key for p in model.metadata_props} == {POLICY}
