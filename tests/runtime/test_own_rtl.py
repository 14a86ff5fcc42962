"""Someone else's machine behind vla_api.h: it is asked like ours, and every way it can be wrong has a message."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hand_program import make_program

from vla_isa import hardware, image
from vla_toolchain.vlarun_cli import main
from vlarun.backends import RtlBackend, rtl_build, rtl_library
from vlarun.conformance.isolated import Isolated
from vlarun.errors import BackendError

SOURCES = Path(__file__).parent / "own_rtl"
TINY = hardware.load("tiny")
Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles a C file of own_rtl/ against the header, strictly as C99; returns the library."""

    def compile_one(source: str, *defines: str) -> Path:
        library = tmp_path / "machine.so"
        strict = ("-std=c99", "-D_GNU_SOURCE", "-pedantic", "-Wall", "-Wextra", "-Werror")
        include = f"-I{rtl_library.header().parent}"
        command = ["cc", *strict, "-shared", "-fPIC", include, *(f"-D{d}" for d in defines), str(SOURCES / source)]
        done = subprocess.run([*command, "-ldl", "-o", str(library)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return library

    return compile_one


def conformance(library: Path | str, *options: str, config: str = "tiny") -> int:
    return main(["conformance", "--backend", "rtl", "--library", str(library), "--config", config, *options])


def refusal(library: Path, capsys: pytest.CaptureFixture[str], config: str = "tiny") -> str:
    """The message with which a library is refused before any case runs."""
    assert conformance(library, "--suite", "T1", "--match", "start.packet", config=config) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    assert printed.err.startswith("error: the machine ") and str(library.name) in printed.err
    return printed.err


def test_the_header_says_the_version_that_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--show-header"]) == 0
    text = Path(capsys.readouterr().out.strip()).read_text(encoding="utf-8")
    assert re.findall(r"#define VLA_API_VERSION (\d+)", text) == [str(rtl_library.API_VERSION)]
    functions = set(re.findall(r"\b(vla_\w+)\(", text))
    assert functions == {*rtl_library.FUNCTIONS, *rtl_library.PEEKS.values()}


def test_a_machine_that_shows_no_memories(
    compiled: Compile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It knows only HALT: cases of HALT pass; others fail with their id, and the matrix says what was compared."""
    library, out = compiled("stub.c"), tmp_path / "c.json"
    assert conformance(library, "--suite", "T1", "--match", "start.packet", "--json", str(out)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "conformance: machine.so, tiny, stalls off, data memory only" in printed and "3 of 3 cases passed" in printed
    assert json.loads(out.read_text())["memories"] == ["data"]
    assert conformance(library, "--suite", "T1", "--match", "fill_act.plain") == 1
    assert "FAILED T1.copy.fill_act.plain: halt_code is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("defines", "words"),
    [
        (("VERSION=2",), "has version 2 of vla_api.h, this vlarun has 1"),
        (("NO_MESSAGE",), "lacks vla_message of vla_api.h"),
        (("BLOCK=16",), "is not the hardware config 'tiny': it has block 16 and not 8; give the config"),
        (("AT_LOAD=raise(SIGSEGV)",), "crashes with SIGSEGV in loading"),
        (("AT_LOAD=_Exit(3)",), "ends the process with exit code 3 in loading"),
    ],
    ids=str,
)
def test_a_library_that_cannot_be_used(
    defines: tuple[str, ...], words: str, compiled: Compile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refusal(compiled("stub.c", *defines), capsys)


def test_a_library_that_hangs_at_load(
    compiled: Compile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtl_library, "PROBE_SECONDS", 1)
    library = compiled("stub.c", "AT_LOAD=for (;;) raise(SIGCONT)")
    assert "hangs: loading it" in refusal(library, capsys)


def test_another_config(compiled: Compile, capsys: pytest.CaptureFixture[str]) -> None:
    found = "it has pixels 4 and not 8, block 8 and not 16, act_words 16384 and not"
    assert found in refusal(compiled("stub.c"), capsys, config="u50")


def test_peeks_must_be_there_where_memories_are_shown(compiled: Compile, capsys: pytest.CaptureFixture[str]) -> None:
    library = compiled("stub.c", "SHOWS=0", "vla_peek_weight=renamed")
    assert "lacks vla_peek_weight of vla_api.h" in refusal(library, capsys)


@pytest.mark.parametrize(
    ("content", "word"), [(None, "is not there"), (b"", "file too short"), (b"text" * 99, "invalid ELF header")]
)
def test_no_library(content: bytes | None, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "machine.so"
    if content is not None:
        path.write_bytes(content)
    assert word in refusal(path, capsys)


@pytest.mark.parametrize(
    ("defines", "words"),
    [
        (("RUN=raise(SIGSEGV)",), "the machine crashed: SIGSEGV"),
        (("RUN=exit(4)",), "the machine crashed: exit code 4"),
        (("RUN=return 1",), "the machine misbehaved: \ufffd is no text"),
        (("RUN=return result->timed_out = 1, 0",), "was not done after 5000000 cycles"),
        (("STATUS=77",), "ended with status 77, which is no error code"),
        (("NO_MACHINE",), "vla_create of"),
        (("SHOWS=1",), "vla_peek_act of"),
        (("RUN=data[65000] ^= 4",), "data line 1015 byte 40 is 4, expected 0 (1 bytes differ)"),
    ],
    ids=str,
)
def test_what_goes_wrong_in_a_run_fails_that_case(
    defines: tuple[str, ...], words: str, compiled: Compile, capsys: pytest.CaptureFixture[str]
) -> None:
    library = compiled("stub.c", *defines)
    assert conformance(library, "--suite", "T1", "--match", "start.packet.7") == 1
    printed = capsys.readouterr()
    assert "FAILED T1.start.packet.7: " in printed.out and words in printed.out
    assert "Traceback" not in printed.err


def test_a_check_that_does_not_return_is_given_up() -> None:
    with Isolated(time.sleep, patience=0.2) as isolated:
        assert isolated(60) == "the machine did not return within 0.2 s"
    with Isolated(time.sleep) as isolated:
        assert isolated(0) == "None"


@pytest.mark.parametrize("options", [["--backend", "sim"], ["--backend", "rtl", "--checked"]])
def test_a_library_is_for_rtl(options: list[str], compiled: Compile, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", *options, "--library", str(compiled("stub.c"))]) == 2
    assert "--library is a machine for --backend rtl" in capsys.readouterr().err


def test_run_and_compare(compiled: Compile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine that only halts leaves the outputs as they were; compare with sim says so."""
    library = compiled("stub.c")
    program, given, out = tmp_path / "p.bin", tmp_path / "in.npz", tmp_path / "out.npz"
    image.save(make_program(), program)
    np.savez(given, image=np.ones((1, 3, 5, 6), np.float32), bias=np.ones((1, 2), np.float32))
    common = [str(program), "--input", str(given), "--library", str(library)]
    assert main([*common, "--backend", "rtl", "--raw", "--output", str(out)]) == 0
    with np.load(out) as arrays:
        assert not arrays["sum"].any()
    assert main([*common, "--backend", "sim"]) == 2
    assert main(["compare", *common]) == 1
    assert "halt_code" in capsys.readouterr().out
    assert main(["compare", *common, "--backends", "sim,sim"]) == 2


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize("defines", [(), ("HIDE",)], ids=["shows", "hides"])
def test_our_own_machine_behind_the_interface_passes(
    defines: tuple[str, ...], compiled: Compile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = compiled("wrapper.c", f'INNER="{rtl_build.build(TINY)}"', *defines)
    out = tmp_path / "c.json"
    assert conformance(library, "--suite", "T0,T1", "--json", str(out)) == 0, capsys.readouterr().out
    written = json.loads(out.read_text())
    assert len(written["cases"]) > 700
    assert written["memories"] == (["data"] if defines else ["data", "act", "weight", "param"])


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
@pytest.mark.parametrize(("define", "where"), [("FLIP", "data line"), ("FLIP_ACT", "act word 0 byte 0 is")])
def test_one_wrong_bit_fails(define: str, where: str, compiled: Compile, capsys: pytest.CaptureFixture[str]) -> None:
    library = compiled("wrapper.c", f'INNER="{rtl_build.build(TINY)}"', define)
    assert conformance(library, "--suite", "T1", "--match", "vec.width.3") == 1
    printed = capsys.readouterr().out
    assert f"FAILED T1.vec.width.3: {where}" in printed and "(1 bytes differ)" in printed


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_after_a_crash_the_others_are_asked(compiled: Compile, capsys: pytest.CaptureFixture[str]) -> None:
    library = compiled("wrapper.c", f'INNER="{rtl_build.build(TINY)}"', "CRASH")
    assert conformance(library, "--suite", "T1", "--match", "start.packet") == 1
    printed = capsys.readouterr().out
    assert "FAILED T1.start.packet.7: the machine crashed: SIGABRT" in printed and "2 of 3 cases passed" in printed


@pytest.mark.slow
@pytest.mark.xdist_group("rtl tiny")
def test_our_machine_says_which_it_is() -> None:
    machine = RtlBackend().machine(TINY)
    assert machine.sizes == {n: getattr(TINY, n) for n in rtl_library.SIZES}
    with pytest.raises(BackendError, match="is not the hardware config 'u50'"):
        machine.check_config(hardware.load("u50"))
