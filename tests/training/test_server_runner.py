"""Evaluation through a server: the same episodes as in this process, and what is said of servers that are none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from vla_datasets.engine import Engine
from vla_models.babyai_cnn.preprocess import BabyAIPreprocessor
from vla_toolchain.serve_command import PolicyEpisode
from vla_training.cli import main
from vla_training.errors import EvaluationError
from vla_training.evaluate.backends import RunnerSpec, ServerSpec
from vla_training.evaluate.closed_loop import evaluate, load_evaluation
from vla_training.evaluate.runners import make_runner, network_runner
from vlarun.serve.messages import pack, unpack

Answer = Callable[[ServerConnection], Any]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server in a thread, and its address."""
    loop, address, up = asyncio.new_event_loop(), [""], threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(answer, "127.0.0.1", 0, compression=None) as server:
            address[0] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    up.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def of_policy(run: Path, most_open: list[int], begun: list[Any]) -> Answer:
    """Computes with torch what `vlarun serve` computes with a program: an episode's state for every connection."""
    network = network_runner(RunnerSpec("float", run))
    count = [0]

    async def answer(connection: ServerConnection) -> None:
        count[0] += 1
        most_open[0] = max(most_open[0], count[0])
        await connection.send(pack({}))
        episode = PolicyEpisode(BabyAIPreprocessor())
        async for message in connection:
            assert isinstance(message, bytes)
            observation = unpack(message)
            if "seed" in observation:
                begun.append((observation["seed"], observation["reset"]))
            episode.begins(observation, observation.pop("reset", False))
            outputs = network._compute(episode.inputs(observation))
            await connection.send(pack({**episode.reply(outputs), "server_timing": {"device_cycles": 777}}))
        count[0] -= 1

    return answer


def test_the_same_episodes_as_in_this_process(run: Path, tmp_path: Path) -> None:
    here = evaluate(RunnerSpec("float", run), "babyai", "GoToObj", 20)
    most_open: list[int] = [0]
    begun: list[Any] = []
    with answering(of_policy(run, most_open, begun)) as address:
        there = evaluate(ServerSpec(address), "babyai", "GoToObj", 20)
        assert there == replace(here, backend="server", cycles=777)
        assert most_open[0] == 16  # one for every episode of the lockstep
        assert sorted(begun) == [(episode.seed, True) for episode in here.episodes]
        several = evaluate(ServerSpec(address), "babyai", "GoToObj", 20, Engine(2))
        assert several == there
        output = tmp_path / "e.json"
        command = ["evaluate", "--server", address, "--level", "GoToObj", "--episodes", "2", "-o", str(output)]
        assert main([*command, "--workers", "1"]) == 0
        assert load_evaluation(output).episodes == here.episodes[:2]


async def _closes(connection: ServerConnection) -> None:
    await connection.send(pack({}))
    await connection.recv()
    await connection.close(1001, "the server stops")


def replies(*messages: str | bytes) -> Answer:
    async def answer(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
            await connection.recv()

    return answer


NO_ACTIONS: Mapping[str, Any] = {"logits": np.ones(7)}
BAD = {
    "refuses": (replies(pack({}), "no such thing"), "refuses an observation: no such thing"),
    "no policy": (replies(pack({}), pack(NO_ACTIONS)), "replies logits without 'actions'.*--policy FOLDER"),
    "no actions": (replies(pack({}), pack({"actions": np.zeros((0, 1))})), "without 'actions'"),
    "a number": (replies(pack({}), pack({"actions": 3})), "without 'actions'"),
    "stops": (_closes, "ended the connection.*1001"),
    "another protocol": (replies("hello"), "does not speak openpi's protocol"),
    "no msgpack": (replies(pack({}), b"\xc1"), "does not speak openpi's protocol"),
}


@pytest.mark.parametrize("name", BAD)
def test_servers_that_do_not_serve_a_policy(name: str) -> None:
    answer, message = BAD[name]
    with answering(answer) as address, pytest.raises(EvaluationError, match=message):
        evaluate(ServerSpec(address), "babyai", "GoToObj", 1)


def test_no_server(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    for address in ("", "localhost", "localhost:", "localhost:0", "localhost:65536", "ws://localhost:1", "a:b"):
        with pytest.raises(EvaluationError, match="give HOST:PORT"):
            make_runner(ServerSpec(address))
    with pytest.raises(EvaluationError, match="cannot be reached"):
        make_runner(ServerSpec("127.0.0.1:1"))
    for arguments, code, said in (
        ([], 2, "give a path, or --server HOST:PORT"),
        (["--server", "127.0.0.1:1"], 1, "The server at 127.0.0.1:1 cannot be reached"),
        (["--server", "127.0.0.1:1", str(run)], 2, "leave out the path"),
        (["--server", "127.0.0.1:1", "--backend", "sim"], 2, "leave out --backend"),
        ([str(run), "--api-key-file", str(tmp_path)], 2, "--api-key-file is for --server"),
        (["--server", "127.0.0.1:1", "--api-key-file", str(tmp_path)], 1, "cannot be read"),
    ):
        assert main(["evaluate", "--level", "GoToObj", *arguments]) == code
        assert said in capsys.readouterr().err
