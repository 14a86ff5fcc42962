"""Write docs/reference/resources.md: modules mapped to UltraScale+ cells by Yosys, one by one, with their logic levels.

    python rtl/synth/modules.py            all of MODULES
    python rtl/synth/modules.py vla_scale  prints one row

A module is mapped with everything below it, except the memories of `vla_ram_1r1w`, which stay boxes. Logic levels: LUTs
(and a carry chain as one) on the longest way between two registers, memories, DSP blocks or ports; a ready that a port
brings in therefore counts from the port on. No tool that places cells was run: levels compare, they are no clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RTL, PAGE = ROOT / "rtl", ROOT / "docs" / "reference" / "resources.md"
# how often `u50` has it, and its parameters there
MODULES: dict[str, tuple[int, dict[str, int]]] = {
    "vla_read_lane": (16, {"Depth": 8}),
    "vla_write_lanes": (4, {"Lanes": 4}),
    "vla_mac_fetch": (1, {}),
    "vla_mac_place_walk": (1, {"Group": 4}),
    "vla_mac_region": (2, {"Group": 4}),
    "vla_mac_place": (1, {"Group": 4}),
    "vla_mac_wide": (1, {"Group": 4}),
    "vla_mac_maxima": (1, {"Group": 4}),
    "vla_mac_writer": (1, {"Group": 4}),
    "vla_mac_residual": (16, {"Lanes": 4}),
    "vla_requantize": (16, {"Lanes": 4, "Bits": 18}),
    "vla_requantize_round": (224, {}),
    "vla_scale": (192, {}),
    "vla_table": (2, {"Lanes": 64}),
    "vla_vector_lane": (32, {}),
    "vla_row_lane": (32, {}),
    "vla_row_table": (8, {"Lanes": 4}),
    "vla_row_reduce": (2, {}),
    "vla_row_topk": (2, {}),
    "vla_recip": (1, {}),
    "vla_key_mover": (1, {}),
    "vla_line_mover": (1, {}),
    "vla_byte_transpose": (1, {}),
    "vla_gather_rows": (2, {}),
    "vla_lane_offsets": (6, {}),
    "vla_word_share": (1, {"Users": 3}),
    "vla_fetch": (1, {"ActWords": 131072, "WeightWords": 8192, "ParamWords": 2048}),
    "vla_fetch_prefetch": (1, {"ActWords": 131072, "WeightWords": 8192, "ParamWords": 2048}),
    "vla_packet_check": (1, {"ActWords": 131072, "WeightWords": 8192, "ParamWords": 2048}),
    "vla_fetch_loops": (1, {}),
    "vla_fetch_index": (1, {}),
    "vla_semaphores": (1, {}),
    "vla_queue": (5, {}),
    "vla_core_monitor": (1, {}),
    "vla_data_map": (6, {}),
    "vla_control": (1, {}),
    "vla_slice": (42, {"Width": 17}),
}
# this takes long, so it is mapped only by name
LARGE: dict[str, tuple[int, dict[str, int]]] = {
    "vla_act_memory": (1, {"Operands": 8, "Readers": 25, "Writers": 10}),
}
HEAD = """\
# What modules cost

<!-- Written by `python rtl/synth/modules.py` (Yosys {version}); do not edit. -->

Cells of UltraScale+ as Yosys maps them, with the sizes that `u50` has, for one instance. LUT: logic; LUTRAM: LUTs that
are memory; levels: LUTs, a carry chain as one, on the longest way between registers, memories, DSP blocks or ports. At
300 MHz there is room for about six. Sizes are those of 4 pixels requantized at once; of `vla_mac_residual` and
`vla_requantize`, which have 64 equal lanes, and of `vla_row_table`, which has 32, a row is 4 of them with all that they
share; one of the two `vla_table` has half the lanes. `vla_act_memory` is not here: it takes Yosys long. Cells of
the whole machine before mapping: `rtl/resources.md`.

| module | instances | LUT | LUTRAM | FF | DSP | RAMB18 | levels |
|---|--:|--:|--:|--:|--:|--:|--:|
"""
LOGIC, CARRY = ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "INV"), ("CARRY4", "CARRY8")
FREE = ("MUXF7", "MUXF8", "MUXF9")  # inside a slice
Cell = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What one instance of a module is made of."""

    lut: int
    lutram: int
    ff: int
    dsp: int
    ramb18: int
    levels: int


def cells(module: str, parameters: dict[str, int]) -> list[Cell]:
    """The mapped module's cells, of Yosys' JSON.

    Raises:
        CalledProcessError: Yosys fails.
    """
    sources = [*sorted(RTL.glob("lib/*.v")), *sorted(RTL.glob("src/*.v")), RTL / "generated" / "vla_packet_check.v"]
    sizes = " ".join(f"-chparam {k} {v}" for k, v in parameters.items())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cells.json"
        script = (
            f"read_verilog -I{RTL / 'generated'} {' '.join(map(str, sources))}; "
            f"blackbox vla_ram_1r1w; hierarchy -check -top {module} {sizes}; "
            f"synth_xilinx -family xcup -uram -noiopad -noclkbuf -flatten; write_json {out}"
        )
        subprocess.run(["yosys", "-q", "-p", script], check=True, stdout=subprocess.DEVNULL)
        found = json.loads(out.read_text())["modules"]
    top = next(m for m in found.values() if int(m["attributes"].get("top", "0"), 2))
    return list(top["cells"].values())


def row(module: str) -> Row:
    """Map a module and count."""
    found = cells(module, (MODULES | LARGE)[module][1])
    kinds: dict[str, int] = defaultdict(int)
    for cell in found:
        kinds[cell["type"]] += 1
    luts_of = {"RAM32M": 4, "RAM32M16": 8, "RAM64M": 4, "RAM64M8": 8, "RAM32X1D": 2, "RAM64X1D": 2, "SRL16E": 1}
    luts_of |= {"SRLC32E": 1, "RAM128X1D": 4, "RAM256X1D": 8}
    return Row(
        lut=sum(kinds[k] for k in LOGIC),
        lutram=sum(n * luts_of.get(k, 0) for k, n in kinds.items()),
        ff=sum(n for k, n in kinds.items() if k.startswith(("FDRE", "FDSE", "FDCE", "FDPE"))),
        dsp=kinds["DSP48E2"],
        ramb18=kinds["RAMB18E2"] + 2 * kinds["RAMB36E2"],
        levels=levels(found),
    )


def levels(found: list[Cell]) -> int:
    """Logic levels of the longest way through cells without a clock."""
    driver = {
        bit: cell
        for cell in found
        if cell["type"] in (*LOGIC, *FREE, *CARRY)
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
    }

    @cache
    def depth(bit: int | str) -> int:
        """Levels up to a net."""
        cell = driver.get(bit)
        if cell is None:
            return 0
        best = 0
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                step = 0 if cell["type"] in FREE or (cell["type"] in CARRY and port in ("CI", "CIN")) else 1
                best = max(best, *(depth(b) + step for b in bits))
        return best

    sys.setrecursionlimit(100_000)
    return max((depth(bit) for bit in driver), default=0)


def main(names: list[str]) -> int:
    """Print the rows of some modules, or write the page."""
    version = subprocess.run(["yosys", "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
    lines = []
    for name in names or MODULES:
        one = row(name)
        cells = ((MODULES | LARGE)[name][0], one.lut, one.lutram, one.ff, one.dsp, one.ramb18, one.levels)
        lines.append(f"| `{name}` | " + " | ".join(f"{n:,}" for n in cells) + " |")
        print(lines[-1], flush=True)
    if not names:
        PAGE.write_text(HEAD.format(version=version) + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
