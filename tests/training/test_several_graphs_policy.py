"""A policy of several graphs: exported, calibrated, compiled without naming what is carried, played on each backend."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from point_flow import POLICY, STEPS, PointFlowPreprocessor
from point_mass import WORLD

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.worlds import registry as worlds
from vla_models import registry as policies
from vla_models.errors import ExportError
from vla_training.errors import EvaluationError
from vla_training.evaluate import runners
from vla_training.evaluate.backends import RunnerSpec
from vla_training.evaluate.closed_loop import evaluate
from vla_training.evaluate.graph_calls import GraphRun, chained


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "WORLDS", (*worlds.WORLDS, WORLD))
    for module in (policies, runners):
        monkeypatch.setattr(module, "POLICIES", (*policies.POLICIES, POLICY))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a saved policy with random weights, its graphs, calibration of each, and the program on tiny."""
    pytest.importorskip("torch")
    import torch
    from point_flow import PointFlowConfig

    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy, save_policy
    from vla_toolchain.vlac_cli import main as vlac
    from vla_training.calibrate import write_calibration

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worlds, "WORLDS", (*worlds.WORLDS, WORLD))
        patched.setattr(policies, "POLICIES", (*policies.POLICIES, POLICY))
        root = tmp_path_factory.mktemp("flow")
        collect(CollectOptions("point", "square", 20), root / "data")
        torch.manual_seed(3)
        policy = POLICY.make(PointFlowConfig())
        (root / "policy").mkdir()
        save_policy(root / "policy", POLICY.name, policy.config, policy.state_dict())
        export_onnx(load_policy(root / "policy"), root / "m.onnx")
        write_calibration(root / "data", root / "policy", root / "c.npz", 64)
    graphs = ["prefix", "step"]
    calibration = [part for g in graphs for part in ("--calib", f"{g}={root / f'c-{g}.npz'}")]
    models = [str(root / f"m-{g}.onnx") for g in graphs]
    assert vlac(["compile", *models, "-o", str(root / "p.bin"), "--config", "tiny", *calibration]) == 0
    return root


def test_the_files_say_what_is_carried(folder: Path) -> None:
    from vla_isa import image

    program = image.load(folder / "p.bin")
    assert list(program.entries) == ["prefix", "step"]
    carried = {c.model_input: (c.entry, c.model_output) for c in program.at("step").carried}
    assert carried == {
        "actions": (None, "next_actions"),
        "time": (None, "next_time"),
        "features": ("prefix", "kept"),
    }
    with np.load(folder / "c-step.npz") as stored:
        assert set(stored.files) == {"actions", "time"}
    with np.load(folder / "c-prefix.npz") as stored:
        assert set(stored.files) == {"state"}


def test_float_and_program_play_the_same_flow(folder: Path) -> None:
    """The float policy's chunk is that of a loop by hand; the program's is near it, and rtl's equals it."""
    import torch

    from vla_models.saved import load_policy

    found = {
        backend: evaluate(RunnerSpec(backend, path, policy), "point", "square", 3 if backend != "rtl" else 1)
        for backend, path, policy in (
            ("float", folder / "policy", ""),
            ("sim", folder / "p.bin", str(folder / "policy")),
            ("rtl", folder / "p.bin", str(folder / "policy")),
        )
    }
    policy = load_policy(folder / "policy")
    for episode in found["float"].episodes:
        world = WORLD.make("square")
        seen, _ = world.reset(seed=episode.seed)
        robot = PointFlowPreprocessor(policy.config)
        robot.reset("", episode.seed)
        given = {name: torch.from_numpy(value) for name, value in robot.inputs(seen).items()}
        actions, time = given["actions"], given["time"]
        with torch.no_grad():
            for _ in range(STEPS):
                actions, time = policy.step(actions, time, policy.prefix(given["state"]))
        wanted = robot.actions({"next_actions": actions.numpy()})
        assert np.allclose(episode.actions[:2], wanted, atol=1e-5)
    one, other = (np.array(found[backend].episodes[0].actions[0]) for backend in ("float", "sim"))
    assert np.allclose(one, other, atol=0.1) and not np.array_equal(one, other)
    assert found["sim"].episodes[:1] == found["rtl"].episodes
    assert found["sim"].cycles and found["rtl"].cycles


def test_onnx_runtime_plays_what_torch_plays(folder: Path) -> None:
    """The exported files, by the path that stands for all, hand on what they say."""
    files = RunnerSpec("onnx", folder / "m.onnx", str(folder / "policy"))
    one, other = (
        evaluate(spec, "point", "square", 3).episodes for spec in (files, RunnerSpec("float", folder / "policy"))
    )
    for found, wanted in zip(one, other, strict=True):
        assert len(found.actions) == len(wanted.actions)
        assert np.allclose(found.actions, wanted.actions, atol=1e-5)


def test_exported_files_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    import onnx

    spec = RunnerSpec("onnx", tmp_path / "m.onnx", str(folder / "policy"))
    with pytest.raises(EvaluationError, match=r"m\.onnx does not exist"):
        runners.network_runner(spec)
    (tmp_path / "m-prefix.onnx").write_bytes((folder / "m-prefix.onnx").read_bytes())
    with pytest.raises(EvaluationError, match=r"m\.onnx does not exist"):
        runners.network_runner(RunnerSpec("onnx", spec.path))
    with pytest.raises(EvaluationError, match=r"m-step\.onnx does not exist, and policy .* calls 'step'"):
        runners.network_runner(spec)
    (tmp_path / "m-step.onnx").write_bytes((folder / "m-step.onnx").read_bytes())
    runners.network_runner(spec)
    for said, text in (
        ('{"nothing": "step.features"}', "hands 'nothing' to 'step.features'; it makes kept"),
        ('{"kept": "step.feature"}', "hands 'kept' to 'step.feature'"),
        ('{"kept": "flow.features"}', "hands 'kept' to 'flow.features'; that must be GRAPH.INPUT"),
    ):
        model = onnx.load(folder / "m-prefix.onnx")
        onnx.helper.set_model_props(model, {"vlac.graph": "prefix", "vlac.carries": said})
        onnx.save(model, tmp_path / "m-prefix.onnx")
        with pytest.raises(EvaluationError, match=text):
            runners.network_runner(spec)


def test_episodes_in_lockstep_do_not_see_each_others_state(folder: Path) -> None:
    """Many at a time, and one after another, on one session each."""
    spec = RunnerSpec("sim", folder / "p.bin", str(folder / "policy"))
    runner = runners.network_runner(spec)
    seen = {slot: WORLD.make("square").reset(seed=slot)[0] for slot in range(3)}
    for slot in seen:
        runner.reset(slot, "", slot)
    together = runner.act(seen)
    for slot in seen:
        alone = runners.network_runner(spec)
        alone.reset(slot, "", slot)
        assert np.array_equal(alone.act({slot: seen[slot]})[slot], together[slot])


def test_what_is_wrong_is_said(folder: Path) -> None:
    from vla_models.export_onnx import export_onnx
    from vla_models.saved import load_policy

    policy = load_policy(folder / "policy")
    for carries in ({"nothing": "step.actions"}, {"kept": "step.nothing"}, {"kept": "actions"}):
        broken = dataclasses.replace(policy.graphs()[0], carries=carries)
        policy.graphs = lambda broken=broken, whole=policy.graphs: (broken, *whole()[1:])
        with pytest.raises(ExportError, match="'prefix' hands"):
            export_onnx(policy, folder / "broken.onnx")
        policy = load_policy(folder / "policy")
    with pytest.raises(EvaluationError, match="calls 'other', and its graphs are prefix"):
        chained({"prefix": GraphRun(dict, (), {})}, ["other"])
    with pytest.raises(EvaluationError, match="Graph 'step' takes 'x', which nothing made"):
        chained({"step": GraphRun(dict, ("x",), {})}, ["step"])({})
    twin = folder / "twin.bin"
    from vla_toolchain.vlac_cli import main as vlac

    calibration = ["--calib", f"first={folder / 'c-prefix.npz'}", "--calib", f"step={folder / 'c-step.npz'}"]
    models = [f"first={folder / 'm-prefix.onnx'}", str(folder / "m-step.onnx")]
    assert vlac(["compile", *models, "-o", str(twin), "--config", "tiny", *calibration]) == 0
    with pytest.raises(EvaluationError, match=r"no entry point 'prefix', which the policy calls; it has first, step"):
        runners.network_runner(RunnerSpec("sim", twin, str(folder / "policy")))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("[1]", "must be a table"),
        ("{", "is no JSON"),
        ('{"kept": "nowhere.features"}', "hands 'kept' to 'nowhere.features'"),
        ('{"kept": "features"}', "that must be GRAPH.INPUT"),
    ],
)
def test_damaged_metadata_is_refused(
    said: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    from vla_toolchain.vlac_cli import main as vlac

    model = onnx.load(folder / "m-prefix.onnx")
    onnx.helper.set_model_props(model, {"vlac.graph": "prefix", "vlac.carries": said})
    onnx.save(model, tmp_path / "m.onnx")
    models = [str(tmp_path / "m.onnx"), str(folder / "m-step.onnx")]
    assert vlac(["compile", *models, "-o", str(tmp_path / "p.bin"), "--config", "tiny", "--calib", "random"]) == 1
    assert message in capsys.readouterr().err and not (tmp_path / "p.bin").exists()


def test_it_is_served(folder: Path) -> None:
    """Two clients in turn get the chunks that a runner of each one's episode gets."""
    openpi = pytest.importorskip("openpi_client.websocket_client_policy")
    spec = RunnerSpec("sim", folder / "p.bin", str(folder / "policy"))
    seen = [WORLD.make("square").reset(seed=seed)[0] for seed in range(2)]
    wanted = []
    for seed, observation in enumerate(seen):
        runner = runners.network_runner(spec)
        runner.begin(0, "go", seed)
        wanted.append([runner.ask({0: observation})[0] for _ in range(3)])
    with served(folder) as port:
        clients = [openpi.WebsocketClientPolicy("127.0.0.1", port) for _ in seen]
        for step in range(3):
            for seed, client in enumerate(clients):
                reply = client.infer({**seen[seed], "prompt": "go", "seed": seed})
                assert np.array_equal(reply["actions"], wanted[seed][step])
                assert reply["server_timing"]["device_cycles"] == runner.cycles()
        with pytest.raises(RuntimeError, match="the policy says which entry points run"):
            clients[0].infer({**seen[0], "prompt": "go", "entry": "step"})


_SERVE = """
import sys
from point_flow import POLICY
from vla_models import registry
registry.POLICIES += (POLICY,)
from vla_toolchain.vlarun_cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[int]:
    """`vlarun serve` with the policy, in a process that knows it; its port."""
    command = [sys.executable, "-c", _SERVE, str(folder / "p.bin"), "--policy", str(folder / "policy"), "--port", "0"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here)
    try:
        assert process.stdout is not None
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert found
        yield int(found[1])
    finally:
        process.kill()
        process.communicate()
