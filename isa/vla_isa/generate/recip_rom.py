"""The tables of RECIP in Verilog-2005: one function of 512 entries of 10 bits, to be included in a module."""

from __future__ import annotations

import numpy as np

from vla_isa.generate.verilog_header import GENERATED
from vla_isa.numerics.reciprocal import ROM_RECIPROCAL, ROM_RSQRT

__all__ = ["rom"]


def rom() -> str:
    """The text of `vla_recip_rom.vh`."""
    out = [
        "// First approximations of RECIP: entries 0..255 for 1/x, 256..511 for 1/sqrt(x).",
        f"// {GENERATED}",
        "function [9:0] recip_rom;",
        "  input [8:0] number;",
        "  case (number)",
    ]
    entries = np.concatenate([ROM_RECIPROCAL, ROM_RSQRT]).tolist()
    out += [f"    9'd{number}: recip_rom = 10'd{entry};" for number, entry in enumerate(entries)]
    out += ["  endcase", "endfunction"]
    return "\n".join(out) + "\n"
