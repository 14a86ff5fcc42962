"""Entry points by name in requests: what each takes and makes, the state between them, and who shares a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_program import good_inputs, make_program

from vla_isa import image, timing
from vla_isa.program import Interface, Program
from vla_toolchain.vlarun_cli import main
from vlarun.errors import InputError
from vlarun.serve.batcher import Batcher, Computed
from vlarun.serve.metrics import Metrics
from vlarun.session import Session

from .conftest import Running, running
from .test_server import client

pytestmark = pytest.mark.timeout(120)
PICTURE = good_inputs()["image"]
ONE, TWO = (np.array([pair], np.float32) for pair in ([1, 2], [3, 4]))


def graphs() -> Program:
    """`double` keeps nothing; `look` makes both outputs; `step` makes `copy`, of the bias that the last `look` left."""
    program = make_program()
    made, kept = program.outputs[0], replace(program.outputs[1], line=program.inputs[1].line)
    return replace(
        program,
        entries={"double": 0, "look": 0, "step": 0},
        inputs=program.inputs[:1],
        outputs=[made],
        others={
            "look": Interface(program.inputs, [made, kept]),
            "step": Interface(program.inputs, [program.outputs[1]]),
        },
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("served") / "graphs.bin"
    image.save(graphs(), path)
    with running(path) as found:
        yield found
        assert found.stop() == 0 and found.errors == ""


def test_what_one_entry_point_leaves_for_another_is_its_clients_own(server: Running) -> None:
    given = {client(server): ONE, client(server): TWO}
    for policy, bias in given.items():
        assert "sum" in policy.infer({"image": PICTURE, "bias": bias, "entry": "look"})
    for _ in range(3):
        for policy, bias in given.items():
            found = policy.infer({"image": PICTURE, "entry": "step"})
            assert found.keys() == {"copy", "server_timing"}
            np.testing.assert_array_equal(found["copy"], bias)
    one, two = given
    assert one.infer({"image": PICTURE}).keys() == {"sum", "server_timing"}  # the first, without --entry
    one.infer({"image": PICTURE, "bias": TWO, "entry": "look"})
    assert one.infer({"image": PICTURE, "entry": "step"})["copy"].tolist() == TWO.tolist()
    with pytest.raises(RuntimeError, match=r"entry point 'look' makes .*which has not run"):
        two.infer({"image": PICTURE, "entry": "step", "reset": True})
    two.infer({"image": PICTURE, "bias": ONE, "entry": "look"})
    assert two.infer({"image": PICTURE, "entry": "step"})["copy"].tolist() == ONE.tolist()


def test_a_whole_model_has_no_entry_points() -> None:
    """Else a task's name would be taken, and the whole model run."""
    session = Session(make_program())

    async def asked() -> None:
        batcher = Batcher(lambda: session, Metrics())
        session.backend.name = "ref"
        assert batcher.entry(None) is None
        with pytest.raises(InputError, match="have no entry points; leave out 'entry'"):
            batcher.entry("main")

    asyncio.run(asked())


def test_an_input_called_entry_is_the_programs(tmp_path: Path) -> None:
    program, path = make_program(), tmp_path / "prog.bin"
    program.inputs[1] = replace(program.inputs[1], name="entry")
    image.save(program, path)
    with running(path) as server:
        found = client(server).infer({"image": PICTURE, "entry": ONE})
        np.testing.assert_array_equal(found["copy"], ONE)


class Noted(Session):
    """Keeps the entry points that were asked for, and how often at once; `right` takes longer."""

    def __init__(self) -> None:
        super().__init__(replace(make_program(), entries={"left": 0, "right": 0}))
        self.asked: list[tuple[str | None, int]] = []

    def run(self, inputs: Any, raw: bool = False, entry: str | None = None, **options: Any) -> dict[str, Any]:
        self.asked.append((entry, inputs["image"].size // PICTURE.size))
        return super().run(inputs, raw, entry, **options)

    @property
    def cycles(self) -> int:
        return 10 if self.asked[-1][0] == "left" else 20


def test_requests_of_two_entry_points_share_no_run() -> None:
    """Without state all clients have one session, and each is told the cycles of its own run."""
    session = Noted()

    async def served() -> list[Computed]:
        batcher = Batcher(lambda: session, Metrics(), entry="right")
        names = [batcher.entry(name) for name in ("left", None, "left", "right")]
        asking = [asyncio.create_task(batcher.run(session, good_inputs(), False, name)) for name in names]
        await asyncio.sleep(0)
        work = asyncio.create_task(batcher.work())
        found = await asyncio.gather(*asking)
        work.cancel()
        return found

    assert [each.cycles for each in asyncio.run(served())] == [10, 20, 10, 20]
    assert session.asked == [("left", 2), ("right", 2)]


class United(Noted):
    """Of tasks, which can be united."""

    def at(self, entry: str | None) -> Program:
        return replace(self.program, entries={entry: 0}) if entry == "left+right" else super().at(entry)

    def timing(self, entry: str | None = None) -> timing.TimingReport:
        return super().timing(None if entry == "left+right" else entry)


def test_the_servers_own_entry_point_may_be_named_and_is_loaded() -> None:
    session = United()

    async def asked() -> None:
        batcher = Batcher(lambda: session, Metrics(), entry="left+right")
        assert "left+right" in session._loads
        assert [batcher.entry(name) for name in (None, "left+right", "left")] == ["left+right", "left+right", "left"]
        for bad in (np.array([1, 2]), "right+left", {"a": 1}):
            with pytest.raises(InputError, match="no entry point"):
                batcher.entry(bad)

    asyncio.run(asked())


def test_a_policys_preprocessor_is_for_one_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "graphs.bin"
    image.save(graphs(), path)
    assert main(["serve", str(path), "--policy", "babyai_cnn"]) == 2
    assert "several graphs (double, look, step)" in capsys.readouterr().err
    assert main(["serve", str(path), "--entry", "stop"]) == 1
    assert "it has double, look, step" in capsys.readouterr().err


def test_a_name_is_enough_for_a_policy_without_options_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How much of a chunk is done, and by what it is normalized, is in the saved policy."""
    path = tmp_path / "graphs.bin"
    image.save(graphs(), path)
    for name in ("mlp_policy", "act", "rdt", "driving_vgg"):
        assert main(["serve", str(path), "--policy", name]) == 1
        assert f"policy '{name}' sees and does depends on its options" in capsys.readouterr().err


def test_the_command_says_which_graph_refuses_its_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, arrays = tmp_path / "graphs.bin", tmp_path / "in.npz"
    image.save(graphs(), path)
    np.savez(arrays, image=PICTURE, bias=ONE)
    assert main([str(path), "--input", str(arrays)]) == 1
    assert "entry point 'double' (--entry; also look, step): " in capsys.readouterr().err
    assert main(["compare", str(path), "--input", str(arrays)]) == 1
    assert "entry point 'double'" in capsys.readouterr().err
    assert main([str(path), "--input", str(arrays), "--entry", "look"]) == 0
    assert "copy float32 [1, 2]: 1 2" in capsys.readouterr().out
