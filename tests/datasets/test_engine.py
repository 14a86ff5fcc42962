"""Where tasks run does not change what they give, and what one raises is said as it is."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import posixpath
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vla_datasets.collect import CollectOptions, collect
from vla_datasets.engine import ENGINES, Engine
from vla_datasets.errors import CollectError
from vla_datasets.worlds.registry import find_world

RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="pip install .[dist]")
MANY = [
    Engine(1),
    pytest.param(Engine(2), marks=pytest.mark.slow),
    pytest.param(Engine(2, "ray"), marks=[pytest.mark.slow, RAY]),
]


@pytest.mark.parametrize("engine", MANY, ids=["here", "processes", "ray"])
def test_every_task_is_done_once(engine: Engine) -> None:
    found = dict(engine.run(posixpath.join, [("a", str(n)) for n in range(20)]))
    assert found == {n: f"a/{n}" for n in range(20)}


@pytest.mark.parametrize("engine", MANY, ids=["here", "processes", "ray"])
def test_a_mistake_is_the_same_message_everywhere(engine: Engine) -> None:
    with pytest.raises(CollectError) as caught:
        list(engine.run(find_world, [("babyai",), ("babyay",), ("babyai",)]))
    assert type(caught.value) is CollectError and str(caught.value) == "Unknown world 'babyay'. Did you mean 'babyai'?"


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(CollectError, match=r"pip install 'vla-toolchain\[dist\]'"):
        list(Engine(2, "ray").run(posixpath.join, [("a", "b")]))
    assert ENGINES == ("processes", "ray")
    with pytest.raises(CollectError, match="needs the package 'ray'"):
        collect(CollectOptions("babyai", "GoToObj", 2), tmp_path / "set", Engine(2, "ray"))
    assert not (tmp_path / "set").exists()


def test_a_worker_that_was_killed_is_a_message() -> None:
    with pytest.raises(CollectError, match=r"a worker process was killed, .*use fewer --workers"):
        list(Engine(2).run(os._exit, [(1,), (1,)]))


PARENT = """
import os, time
from vla_datasets.engine import Engine
if __name__ == "__main__":
    for _, pid in Engine(2).run(os.getpid, [()] * 2):
        print(pid, flush=True)
        for _ in Engine(2).run(time.sleep, [(600,)] * 2): pass
"""


def test_workers_leave_when_their_parent_was_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline().strip().isdigit()
    try:
        process.kill()
        process.stdout.read()  # ends when the last process that has it open is gone
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
@RAY
def test_a_cluster_collects_the_same_bytes(tmp_path: Path) -> None:
    options = CollectOptions("babyai", "GoToObj", 120, seed=1)
    for name, engine in (("alone", Engine(1)), ("ray", Engine(2, "ray"))):
        assert collect(options, tmp_path / name, engine)
    alone, ray = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("alone", "ray"))
    assert alone == ray and len(alone) >= 5
