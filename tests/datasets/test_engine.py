"""Where tasks run does not change what they give, and what one raises is said as it is."""

from __future__ import annotations

import importlib.util
import posixpath
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


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(CollectError, match=r"pip install 'vla-toolchain\[dist\]'"):
        list(Engine(2, "ray").run(posixpath.join, [("a", "b")]))
    assert ENGINES == ("processes", "ray")


@pytest.mark.slow
@RAY
def test_a_cluster_collects_the_same_bytes(tmp_path: Path) -> None:
    options = CollectOptions("babyai", "GoToObj", 120, seed=1)
    for name, engine in (("alone", Engine(1)), ("ray", Engine(2, "ray"))):
        assert collect(options, tmp_path / name, engine)
    alone, ray = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("alone", "ray"))
    assert alone == ray and len(alone) >= 5
