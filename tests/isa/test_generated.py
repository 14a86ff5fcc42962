"""Generated files are fresh, and each consumer's parser reads them with the values of the table."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from vla_isa import hardware
from vla_isa.generate.__main__ import generated_files, main
from vla_isa.instructions import TABLE, ErrorCode
from vla_isa.registers import COUNTER_BASE, COUNTERS, REGISTERS

ROOT = Path(__file__).resolve().parents[2]


def test_committed_files_are_fresh() -> None:
    stale = [
        name
        for name, text in generated_files().items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text() != text
    ]
    assert not stale, "run python -m vla_isa.generate"


def test_check_writes_nothing_and_fails_when_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").touch()
    root = ["--root", str(tmp_path)]
    assert main(["--check", *root]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["pyproject.toml"]
    assert main(root) == 0 and main(["--check", *root]) == 0
    page = tmp_path / "docs/reference/isa.md"
    page.write_text(page.read_text() + "edited by hand\n")
    capsys.readouterr()
    assert main(["--check", *root]) == 1
    assert capsys.readouterr().out == "stale: docs/reference/isa.md; run python -m vla_isa.generate\n"
    assert main(root) == 0 and main(["--check", *root]) == 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_not_a_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 1
    assert "is no checkout" in capsys.readouterr().err


def macros(name: str) -> dict[str, str]:
    text = (ROOT / "rtl/generated" / name).read_text()
    return dict(re.findall(r"^`define (\w+) +(.+)$", text, re.M))


def test_header_states_the_table() -> None:
    found = macros("vla_isa.vh")
    for ins in TABLE:
        assert found[f"VLA_OP_{ins.name}"] == f"8'h{ins.opcode:02X}"
        for f in ins.value_fields:
            key = (
                f"VLA_{ins.name}_{f.name.upper()}"
                if f.name not in ("wait", "signal")
                else (f"VLA_PACKET_{f.name.upper()}")
            )
            assert found[key] == f"{f.lsb + f.width - 1}:{f.lsb}"
            assert (found[f"{key}_LSB"], found[f"{key}_WIDTH"]) == (str(f.lsb), str(f.width))
            for i, name in enumerate(f.enum):
                assert found[f"{key}_{name.upper()}"] == f"{f.width}'d{i}"
    for r in REGISTERS:
        assert int(found[f"VLA_REG_{r.name}"].removeprefix("12'h"), 16) == r.offset
    for e in ErrorCode:
        assert found[f"VLA_ERROR_{e.name}"] == f"4'd{e.value}"


@pytest.mark.parametrize("name", hardware.names())
def test_config_header(name: str) -> None:
    found, hw = macros(f"vla_config_{name}.vh"), hardware.load(name)
    for key, value in hw.to_dict().items():
        assert found[f"VLA_CFG_{key.upper()}"] == (f'"{value}"' if key == "name" else str(value))
    assert 1 << int(found["VLA_CFG_ACT_WORD_ADDR_BITS"]) == hw.act_words


def test_registers_do_not_overlap() -> None:
    spans = sorted((r.offset, r.offset + r.width // 8) for r in REGISTERS)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_cpp_header_compiles(tmp_path: Path) -> None:
    source = tmp_path / "main.cpp"
    source.write_text(
        '#include <cstdio>\n#include "vla_isa.h"\nusing namespace vla_isa;\nint main() {\n'
        '  std::printf("%u %u %d %s %s", (unsigned)REG_COUNTER_CYCLES, (unsigned)ERROR_DEADLOCK,\n'
        "              kCounters, kCounterNames[kCounters - 1], kErrorNames[kErrorCodes - 1]);\n}\n"
    )
    binary = tmp_path / "main"
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/rtl/generated", str(source), "-o", str(binary)],
        check=True,
    )
    out = subprocess.run([str(binary)], check=True, capture_output=True, text=True).stdout
    assert out == f"{COUNTER_BASE} 4 {len(COUNTERS)} {COUNTERS[-1][0]} {list(ErrorCode)[-1].name}"
