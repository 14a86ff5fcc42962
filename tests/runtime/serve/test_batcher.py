"""Requests become runs: order, sharing, room, and what of it a client never sees of another's."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_program import good_inputs, make_program

from vla_isa import image, timing
from vlarun.backends import sim
from vlarun.errors import MachineError
from vlarun.serve.batcher import Batcher, BusyError
from vlarun.serve.episode import Plain
from vlarun.serve.messages import pack
from vlarun.serve.metrics import Metrics
from vlarun.serve.server import _Client as Client
from vlarun.session import Session

from .conftest import Serve, running
from .test_server import client


class Slow(Session):
    """Waits for permission before each run, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(make_program())
        self.go, self.asked = threading.Semaphore(0), []  # type: ignore[var-annotated]

    def run(self, inputs: Any, *args: Any, **options: Any) -> dict[str, Any]:
        self.asked.append(inputs["image"].reshape(-1, 90)[:, 0].tolist())
        assert self.go.acquire(timeout=30)
        if (np.asarray(inputs["image"]).reshape(-1, 90)[:, 0] == 13).any():
            raise MachineError("the machine stopped")
        return super().run(inputs, *args, **options)


def request(first: float) -> dict[str, np.ndarray]:
    inputs = good_inputs()
    inputs["image"][0, 0, 0, 0] = first
    return inputs


def with_batcher(test: Any, **options: Any) -> Slow:
    session = Slow()

    async def main() -> None:
        batcher = Batcher(lambda: session, Metrics(), **options)
        work = asyncio.create_task(batcher.work())
        try:
            await test(batcher, session)
        finally:
            for _ in range(99):
                session.go.release()
            work.cancel()

    asyncio.run(main())
    return session


def test_what_waits_shares_a_run_in_order() -> None:
    async def test(batcher: Batcher, session: Slow) -> None:
        asked = [asyncio.create_task(batcher.run(session, request(n), False)) for n in range(6)]
        while not session.asked:
            await asyncio.sleep(0.01)
        for _ in range(3):
            session.go.release()
        for number, outputs in enumerate(each.outputs for each in await asyncio.gather(*asked)):
            assert outputs["sum"].shape == (1, 3, 5, 6) and outputs["sum"][0, 0, 0, 0] == 2 * number

    assert with_batcher(test, most_at_once=4).asked in (
        [[0, 1, 2, 3], [4, 5]],
        [[0], [1, 2, 3, 4], [5]],
    )


def test_a_program_is_loaded_before_the_first_request() -> None:
    """A Verilog machine is built then, not while a client waits."""

    async def test(batcher: Batcher, session: Slow) -> None:
        assert session._loads and not session.asked

    with_batcher(test)


def test_one_bad_request_fails_alone() -> None:
    async def test(batcher: Batcher, session: Slow) -> None:
        for _ in range(99):
            session.go.release()
        asked = [asyncio.create_task(batcher.run(session, request(n), False)) for n in (1, 13, 3)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(found[1], MachineError)
        assert [f.outputs["sum"][0, 0, 0, 0] for f in (found[0], found[2])] == [2, 6]

    with_batcher(test)


def test_no_room_and_a_client_that_left() -> None:
    async def test(batcher: Batcher, session: Slow) -> None:
        running = asyncio.create_task(batcher.run(session, request(0), False))
        while not session.asked:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(batcher.run(session, request(n), False)) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 requests wait"), batcher.room():
            raise AssertionError
        waiting[0].cancel()
        await asyncio.sleep(0)
        for _ in range(99):
            session.go.release()
        await asyncio.gather(running, waiting[1])

    assert with_batcher(test, most_waiting=2).asked == [[0], [2]]


class Remembering(Plain):
    """An episode that keeps what it was shown, and takes a while to look at it."""

    def __init__(self, go: threading.Event) -> None:
        self.go, self.seen = go, []  # type: ignore[var-annotated]

    def inputs(self, observation: Any) -> dict[str, Any]:
        self.seen.append(float(observation["image"].ravel()[0]))
        assert self.go.wait(timeout=30)
        return dict(observation)


def test_what_there_is_no_room_for_is_not_remembered() -> None:
    """Two requests come at once, and there is a place for one: the other's client asks with the same frame again."""

    async def test(batcher: Batcher, session: Slow) -> None:
        running = asyncio.create_task(batcher.run(session, request(0), False))
        while not session.asked:
            await asyncio.sleep(0.01)
        go = threading.Event()
        episodes = [Remembering(go) for _ in range(2)]
        asked = [asyncio.create_task(Client(batcher, e).infer(pack(request(n)))) for n, e in enumerate(episodes, 1)]
        while not episodes[0].seen:
            await asyncio.sleep(0.01)
        go.set()
        with pytest.raises(BusyError, match="1 requests wait"):
            await asked[1]
        for _ in range(99):
            session.go.release()
        assert (await asked[0])["sum"].any() and await running
        assert [episode.seen for episode in episodes] == [[1.0], []]
        assert (await Client(batcher, episodes[1]).infer(pack(request(2))))["sum"].any()  # the place is free again

    with_batcher(test, most_waiting=1)


def test_the_first_request_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a plan nor an estimate: minutes, for a large program, and clients wait seconds."""
    program = make_program()
    program.outputs[1] = replace(program.outputs[1], line=program.inputs[1].line)  # state: a session for each client

    async def main() -> None:
        batcher = Batcher(lambda: Session(program), Metrics())
        for made in ((timing, "estimate"), (sim, "make_plan")):
            monkeypatch.setattr(*made, None)
        work = asyncio.create_task(batcher.work())
        one, two = batcher.session(), batcher.session()
        found = [await batcher.run(each, request(3), False) for each in (one, two)]
        work.cancel()
        assert one is not two and all(each.cycles and each.outputs["sum"].any() for each in found)

    asyncio.run(main())


def test_state_belongs_to_a_client(tmp_path: Path) -> None:
    program = make_program()
    program.outputs[1] = replace(program.outputs[1], line=program.inputs[1].line)  # 'copy' is what 'bias' was
    path = tmp_path / "prog.bin"
    image.save(program, path)
    picture = good_inputs()["image"]
    with running(path) as server:
        one, two = client(server), client(server)
        given = {one: np.array([[1.0, 2.0]], np.float32), two: np.array([[3.0, 4.0]], np.float32)}
        for policy, bias in given.items():
            assert policy.infer({"image": picture})["copy"].tolist() == [[0, 0]]
            policy.infer({"image": picture, "bias": bias})
        for _ in range(3):
            for policy, bias in given.items():
                np.testing.assert_array_equal(policy.infer({"image": picture})["copy"], bias)
        assert one.infer({"image": picture, "reset": True})["copy"].tolist() == [[0, 0]]
        assert two.infer({"image": picture})["copy"].tolist() == [[3, 4]]


def test_a_request_that_takes_too_long(serve: Serve) -> None:
    """The first run loads the machine; nothing is that fast."""
    with serve("--timeout", "0.000001") as server:
        policy = client(server)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no result within 1e-06 s"):
                policy.infer(good_inputs())
        server.stop()
        assert "2 timeout" in server.output and server.errors == ""
