"""Building the Verilated machine: the cache key, one build for many processes, errors. No real build here."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vla_isa import hardware
from vla_isa.hardware import HardwareConfig
from vlarun import build_cache
from vlarun.backends import rtl_build
from vlarun.errors import BackendError

TINY = hardware.load("tiny")
PARAMETERS = [
    "Pixels",
    "Block",
    "RequantPixels",
    "ActWords",
    "WeightWords",
    "ParamWords",
    "WeightMasters",
    "InMasters",
    "OutMasters",
    "QueueDepth",
]
MODULE = f"module vla_core #({', '.join(f'parameter {p} = 1' for p in PARAMETERS)}) (input clk); endmodule\n"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the RTL sources and an empty cache."""
    root = tmp_path / "rtl"
    for folder in ("generated", "lib", "src", "sva", "sim"):
        shutil.copytree(rtl_build.source_folder() / folder, root / folder)
    monkeypatch.setattr(rtl_build, "source_folder", lambda: root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


def key(hw: HardwareConfig = TINY, flavour: str = "fast") -> str:
    return rtl_build._key(hw, flavour, rtl_build._sources(flavour))


def test_key_depends_on_everything_that_matters(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = key()
    assert key() == first
    keys = {first, key(flavour="checked"), key(replace(TINY, act_words=8192)), key(hardware.load("u50"))}
    for name in ("src/vla_core.v", "generated/vla_isa.vh", "generated/vla_isa.h", "sim/harness.cpp"):
        (sources / name).write_text((sources / name).read_text() + "\n")
        keys.add(key())
    monkeypatch.setattr(rtl_build, "BUILD_VERSION", rtl_build.BUILD_VERSION + 1)
    keys.add(key())
    monkeypatch.setenv(rtl_build.OPTIMIZE, "0")
    keys.add(key())
    assert len(keys) == 10


@pytest.mark.parametrize("level", ["4", "-1", "", "fast"])
def test_an_optimization_that_there_is_not(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rtl_build.OPTIMIZE, level)
    with pytest.raises(BackendError, match=f"VLARUN_RTL_OPTIMIZE is '{level}'; it must be 0, 1, 2 or 3, or not set"):
        key()


def test_what_was_hashed_is_what_is_built(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that changes while a machine is built is not in it."""
    found = rtl_build._sources("checked")
    (sources / "src" / "vla_core.v").write_text("changed")
    _, root = rtl_build._lay_out(tmp_path / "work", found)
    copied = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert copied == found and copied["src/vla_core.v"] != b"changed"
    every = (p.relative_to(sources).as_posix() for p in sources.rglob("*") if p.is_file())
    assert {n for n in every if not n.endswith(".keep")} == {n for n in copied if not n.endswith(".keep")}


def built(library: Path) -> None:
    made = library.with_suffix(".made")
    made.write_bytes(b"built" * 100)
    build_cache.keep(made, library)
    made.unlink()


@pytest.mark.parametrize("size", [0, 1, 31, 100, 499, 531])
def test_what_was_cut_short_is_not_loaded(size: int, tmp_path: Path) -> None:
    """500 bytes and 32 of their digest: a loader would take some of them."""
    path = tmp_path / "library.so"
    assert not build_cache.intact(path)
    built(path)
    assert build_cache.intact(path) and path.read_bytes()[:500] == b"built" * 100
    path.write_bytes(path.read_bytes()[:size])
    assert not build_cache.intact(path)


def test_a_damaged_model_is_built_again(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build_cache.cache_folder("rtl") / f"tiny-fast-{key()}.so"
    library.parent.mkdir(parents=True)
    built(library)
    library.write_bytes(library.read_bytes()[:300])
    monkeypatch.setattr(rtl_build, "_build_into", lambda path, *_: built(path))
    assert build_cache.intact(rtl_build.build(TINY))


def test_a_cached_model_needs_no_tools(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = build_cache.cache_folder("rtl") / f"tiny-fast-{key()}.so"
    library.parent.mkdir(parents=True)
    built(library)
    os.utime(library, (0, 0))
    monkeypatch.setenv("PATH", "/nowhere")
    assert rtl_build.build(TINY) == library
    assert library.stat().st_mtime > 1e9, "its last use"


def hold(path: Path, ready: Path) -> None:
    with build_cache.locked(path, "something"):
        ready.write_text("")
        time.sleep(0.5)


def test_who_waits_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready = tmp_path / "ready"
    worker = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "a.so", ready))
    worker.start()
    while not ready.exists():
        time.sleep(0.01)
    with build_cache.locked(tmp_path / "a.so", "a machine"):
        pass
    worker.join()
    assert capsys.readouterr().err == "vlarun: waiting for another process, which builds a machine ...\n"


def test_what_is_not_used_for_long_goes(tmp_path: Path) -> None:
    """The newest stay whatever their age, and so does what was used lately."""
    (tmp_path / "new.lock").write_text("")
    day, now = 24 * 3600, (tmp_path / "new.lock").stat().st_mtime
    ages = [*range(build_cache.NEWEST + 3), build_cache.DAYS + 1, build_cache.DAYS + 2]
    for age in ages:
        for suffix in (".so", ".lock"):
            path = tmp_path / f"machine-{age}{suffix}"
            path.write_text("")
            os.utime(path, (now - age * day, now - age * day))
    (tmp_path / "orphan.lock").write_text("")
    os.utime(tmp_path / "orphan.lock", (now - 2 * day, now - 2 * day))
    for name, age in ((".cut-off", 2), (".at-work", 0)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (now - age * day, now - age * day))
    build_cache.prune(tmp_path)
    left = {p.name for p in tmp_path.iterdir()}
    kept = [f"machine-{age}" for age in ages[:-2]]
    assert left == {*(f"{k}{s}" for k in kept for s in (".so", ".lock")), "new.lock", ".at-work"}


def build_slowly(started: Path) -> None:
    """Build with a fake compiler that takes a while and counts its calls."""

    def fake(library: Path, hw: HardwareConfig, flavour: str, sources: rtl_build.Sources) -> None:
        with started.open("a") as f:
            f.write("x")
        time.sleep(0.5)
        built(library)

    rtl_build._build_into = fake
    assert build_cache.intact(rtl_build.build(TINY))


def test_parallel_processes_build_once(sources: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=build_slowly, args=(tmp_path / "started",)) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(30)
    assert [w.exitcode for w in workers] == [0] * 4
    assert (tmp_path / "started").read_text() == "x"


def test_broken_sources_leave_nothing_and_show_the_log(sources: Path, tmp_path: Path) -> None:
    (sources / "src" / "vla_core.v").write_text("module vla_core; syntax error\n")
    with pytest.raises(BackendError, match=r"'tiny' does not build(.|\n)*syntax error"):
        rtl_build.build(TINY)
    assert not list((tmp_path / "cache").rglob("*.so"))
    assert not [p for p in (tmp_path / "cache" / "vlarun" / "rtl").iterdir() if p.is_dir()]


def test_the_end_of_a_log_fits_a_screen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join([*(f"line {n}" for n in range(50)), "g++ " + "x" * 10_000, "Error 1"]))
    end = rtl_build._end(tmp_path / "log").splitlines()
    assert len(end) == 15 and end[-1] == "Error 1" and len(end[-2]) < 210
    (tmp_path / "log").write_text("")
    assert "disk full" in rtl_build._end(tmp_path / "log")


@pytest.mark.slow
def test_a_space_in_every_path(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Verilator, the sources and the cache lie below a folder with a space; a small module stands for the machine."""
    place = tmp_path / "a space"
    shutil.copytree(rtl_build._verilator(), place / "verilator")
    shutil.copytree(sources, place / "rtl")
    (place / "rtl" / "src" / "vla_core.v").write_text(MODULE)
    for path in [*(place / "rtl" / "sim").glob("*.cpp"), *(place / "rtl" / "lib").glob("*.v")]:
        path.unlink()
    for path in [p for f in ("src", "generated") for p in (place / "rtl" / f).glob("*.v") if p.name != "vla_core.v"]:
        path.unlink()
    (place / "rtl" / "sim" / "main.cpp").write_text('#include "Vvla_core.h"\nint vla_api_version() { return 1; }\n')
    monkeypatch.setattr(rtl_build, "_verilator", lambda: place / "verilator")
    monkeypatch.setattr(rtl_build, "source_folder", lambda: place / "rtl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    library = rtl_build.build(TINY)
    assert library.is_relative_to(place) and library.read_bytes()[:4] == b"\x7fELF"
    assert [p.name for p in library.parent.iterdir() if p.suffix != ".lock"] == [library.name]


def test_no_place_without_a_space(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a b"))
    monkeypatch.setattr(rtl_build.tempfile, "gettempdir", lambda: str(tmp_path / "a b"))
    access = os.access
    taken = ("/tmp", "/var/tmp")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in taken and access(path, mode))
    with pytest.raises(BackendError, match="path has a space"):
        rtl_build.build(TINY)


def test_missing_tools_are_named(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendError, match=r"needs g\+\+, make, perl, not found"):
        rtl_build.build(TINY)


def test_unusable_cache(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackendError, match="set XDG_CACHE_HOME"):
        rtl_build.build(TINY)


def test_a_user_without_a_home_folder(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(BackendError, match="cannot be used: there is no home folder; set XDG_CACHE_HOME"):
        rtl_build.build(TINY)


def test_without_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rtl_build, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(BackendError, match="reinstall vlarun"):
        rtl_build.source_folder()
