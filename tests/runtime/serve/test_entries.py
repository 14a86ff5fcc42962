"""Entry points by name in requests: what each takes and makes, the state between them, and who shares a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hand_program import good_inputs, make_program
from openpi_client import msgpack_numpy
from websockets.sync.client import connect

from vla_isa import image
from vla_isa.errors import ProgramError
from vla_isa.program import Interface, Program
from vla_toolchain.vlarun_cli import main
from vlarun.errors import InputError
from vlarun.serve.batcher import Batcher, Computed
from vlarun.serve.metrics import Metrics
from vlarun.session import Session

from .conftest import Running, Serve, running
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


def test_metadata_say_what_every_entry_point_takes_and_makes(server: Running) -> None:
    metadata = client(server).get_server_metadata()
    assert metadata["entry"] == "double" and metadata["inputs"] == metadata["entries"]["double"]["inputs"]
    assert {name: set(each["outputs"]) for name, each in metadata["entries"].items()} == {
        "double": {"sum"},
        "look": {"sum", "copy"},
        "step": {"copy"},
    }
    assert metadata["entries"]["step"]["inputs"]["bias"] == {"shape": [1, 2], "dtype": "float32", "optional": True}


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


REFUSED = {
    "another name": ({"entry": "stop"}, "no entry point 'stop'; it has double, look, step"),
    "a long name": ({"entry": "s" * 9999}, f"no entry point '{'s' * 40}'"),
    "no text": ({"entry": 1}, "'entry' is 1; send the name of an entry point: double, look, step"),
    "a list": ({"entry": ["step"]}, "'entry' is ['step']"),
    "no run before": ({"image": PICTURE, "entry": "step"}, "entry point 'look' makes"),
}


def test_refusals_leave_the_connection_open(server: Running) -> None:
    with connect(f"ws://127.0.0.1:{server.port}") as connection:
        connection.recv()
        for name, (request, message) in REFUSED.items():
            connection.send(msgpack_numpy.packb(request))
            reply = connection.recv()
            assert isinstance(reply, str) and message in reply and len(reply) < 300, (name, reply)
        connection.send(msgpack_numpy.packb({"image": PICTURE, "bias": ONE, "entry": "step"}))
        assert msgpack_numpy.unpackb(connection.recv())["copy"].tolist() == ONE.tolist()


def test_a_program_of_one_entry_point(serve: Serve) -> None:
    with serve() as server:
        (name,) = client(server).get_server_metadata()["entries"]
        assert "sum" in client(server).infer({**good_inputs(), "entry": name})
        with pytest.raises(RuntimeError, match=f"no entry point 'step'; it has {name}"):
            client(server).infer({**good_inputs(), "entry": "step"})


def test_an_input_called_entry_is_the_programs(tmp_path: Path) -> None:
    program, path = make_program(), tmp_path / "prog.bin"
    program.inputs[1] = replace(program.inputs[1], name="entry")
    image.save(program, path)
    with running(path) as server:
        found = client(server).infer({"image": PICTURE, "entry": ONE})
        np.testing.assert_array_equal(found["copy"], ONE)


def test_requests_of_two_entry_points_share_no_run() -> None:
    """Without state all clients have one session, and each entry point's own cycles are told."""
    program = replace(make_program(), entries={"left": 0, "right": 0})
    session, metrics = Session(program), Metrics()
    asked: list[tuple[str | None, int]] = []
    run = session.run

    def noted(inputs: dict[str, np.ndarray], entry: str | None = None) -> dict[str, np.ndarray]:
        asked.append((entry, inputs["image"].size // PICTURE.size))
        return run(inputs, entry=entry)

    session.run = noted  # type: ignore[method-assign, assignment]

    async def served() -> list[Computed]:
        batcher = Batcher(lambda: session, metrics, entry="right")
        names = [batcher.entry(name) for name in ("left", None, "left", "right")]
        asking = [asyncio.create_task(batcher.run(session, name, good_inputs(), False)) for name in names]
        await asyncio.sleep(0)
        work = asyncio.create_task(batcher.work())
        found = await asyncio.gather(*asking)
        work.cancel()
        with pytest.raises(InputError, match="it has left, right"):
            Batcher(lambda: session, metrics, entry="up")
        return found

    assert len(asyncio.run(served())) == 4
    assert asked == [("left", 2), ("right", 2)]


def test_a_policys_preprocessor_is_for_one_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "graphs.bin"
    image.save(graphs(), path)
    assert main(["serve", str(path), "--policy", "cnn"]) == 2
    assert "several graphs (double, look, step)" in capsys.readouterr().err
    assert main(["serve", str(path), "--entry", "stop"]) == 1
    assert "it has double, look, step" in capsys.readouterr().err


def test_an_entry_point_that_is_none_is_refused() -> None:
    with pytest.raises(ProgramError, match="it has double, look, step"):
        Session(graphs()).run(good_inputs(), entry="stop")


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
