"""A small data set and trained policy, made once; and a stand-in for the compiler and the device."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import pytest
from fake_device import FakeSession

from vla_datasets.collect import CollectOptions, collect
from vla_training.config.load import load_config

CONFIG = load_config("debug")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    collect(CollectOptions(CONFIG.world, CONFIG.level, CONFIG.episodes, CONFIG.collect_seed), folder)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    from vla_training.loop import train

    folder = tmp_path_factory.mktemp("run")
    train(CONFIG, data, folder)
    return folder


@pytest.fixture
def fake_device(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace `vlarun.Session` and `vla_toolchain.vlac_cli.main`; returns the list of compiler calls."""
    import vlarun

    calls: list[list[str]] = []

    def compile_(arguments: list[str]) -> int:
        calls.append(arguments)
        shutil.copy(arguments[1], arguments[arguments.index("-o") + 1])
        return 0

    module = types.ModuleType("vla_toolchain.vlac_cli")
    module.main = compile_  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vla_toolchain.vlac_cli", module)
    for name in ("Session", "open_session"):
        monkeypatch.setattr(vlarun, name, FakeSession)
    monkeypatch.setattr(FakeSession, "error", 0)
    return calls
