"""Write rtl/resources.md: what the machine is made of, by Yosys, per hardware config and part.

    python rtl/synth/resources.py tiny u50

Counts are those of word-level cells after rtl/synth/check.ys (an adder of 32 bits is one cell), so they say how
the parts compare and what changes; they are no count of an FPGA's LUTs. For that, map with rtl/synth/synth.ys.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

from vla_isa import hardware
from vla_isa.hardware import HardwareConfig

RTL = Path(__file__).resolve().parents[1]
TOP = "vla_core"
RAM = "vla_ram_1r1w"
PARTS = (
    "vla_mac_engine",
    "vla_vector_engine",
    "vla_data_loader",
    "vla_weight_loader",
    "vla_store_engine",
    "vla_core_in_masters",
    "vla_act_memory",
    "vla_weight_memory",
    "vla_param_memory",
    "vla_core_dispatch",
    "vla_control",
)
HEAD = """\
# What the machine is made of

Word-level cells that Yosys finds, written by `python rtl/synth/resources.py {configs}`. A cell is an operator,
multiplexer or register of any width; register bits are flip-flops; a multiplier of the MAC array holds two int8
products (two pixels, one weight); RAM bits are those of the on-chip memories, queue bits those of the fifos and
other small memories. `vla_core` has what is in none of its parts too.
"""


@dataclass
class Count:
    """What a module holds, with everything below it."""

    cells: int = 0
    register_bits: int = 0
    multipliers: int = 0
    ram_bits: int = 0
    queue_bits: int = 0

    def add(self, other: Count, times: int) -> None:
        """Add `times` of another."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + times * value)


def parameters(hw: HardwareConfig) -> dict[str, int]:
    """The parameters of vla_core for a config."""
    values = {k: v for k, v in hw.to_dict().items() if k not in ("name", "clock_mhz")}
    return {"".join(part.capitalize() for part in k.split("_")): v for k, v in values.items()}


def script(hw: HardwareConfig) -> str:
    """Yosys commands that read the machine of a config and check it."""
    sources = [*sorted(RTL.glob("lib/*.v")), *sorted(RTL.glob("src/*.v")), RTL / "generated" / "vla_packet_check.v"]
    sizes = " ".join(f"-chparam {k} {v}" for k, v in parameters(hw).items())
    return (
        f"read_verilog -I{RTL / 'generated'} {' '.join(map(str, sources))}; "
        f"hierarchy -check -top {TOP} {sizes}; script {RTL / 'synth' / 'check.ys'}"
    )


@dataclass
class Module:
    """Yosys' statistics of a module: bits of its memories, cells by kind (modules below it included)."""

    memory_bits: int
    cells: dict[str, int]


def modules(hw: HardwareConfig) -> dict[str, Module]:
    """Every module of a config's machine, by its name in Yosys (parameters are a part of it)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stat.txt"  # the text: the JSON of Yosys 0.23 is not valid for parametrized modules
        subprocess.run(["yosys", "-q", "-p", f"{script(hw)}; tee -q -o {out} stat -width"], check=True)
        text = out.read_text()
    found = {}
    for name, body in re.findall(r"=== (\S+) ===\n(.*?)(?=\n===|\Z)", text, re.DOTALL):
        bits = re.search(r"Number of memory bits: +(\d+)", body)
        assert bits, name
        cells = re.findall(r"^     (\S+) +(\d+)$", body, re.MULTILINE)
        found[name] = Module(int(bits[1]), {kind: int(number) for kind, number in cells})
    return found


def count(stats: dict[str, Module], module: str, known: dict[str, Count]) -> Count:
    """Everything in a module and below."""
    if module in known:
        return known[module]
    one = stats[module]
    total = Count(**{"ram_bits" if plain(module) == RAM else "queue_bits": one.memory_bits})
    for kind, number in one.cells.items():
        if kind in stats:
            total.add(count(stats, kind, known), number)
            continue
        word = re.fullmatch(r"\$(\w+?)(?:_(\d+))?", kind)
        assert word, kind
        total.add(Count(1, int(word[2] or 0) if "dff" in word[1] else 0, int(word[1] == "mul")), number)
    known[module] = total
    return total


def plain(module: str) -> str:
    """A module's name in the sources, from that of its parametrized copy."""
    found = re.search(r"vla_\w+", module)
    assert found, module
    return found[0]


def table(hw: HardwareConfig) -> str:
    """The section of a config."""
    stats = modules(hw)
    known: dict[str, Count] = {}
    top = count(stats, next(m for m in stats if plain(m) == TOP), known)
    rows = [(TOP, top)]
    for part in PARTS:
        rows.append((part, next(c for m, c in known.items() if plain(m) == part)))
    lines = [f"\n## {hw.name}\n", "| module | cells | register bits | multipliers | RAM bits | queue bits |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    lines += [f"| `{name}` | " + " | ".join(f"{n:,}" for n in astuple(c)) + " |" for name, c in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page for the configs named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+", help=f"of {', '.join(hardware.names())}")
    names = parser.parse_args().configs
    page = HEAD.format(configs=" ".join(names)) + "".join(table(hardware.load(n)) for n in names)
    target = RTL / "resources.md"
    part = target.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
