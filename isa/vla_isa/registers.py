"""The AXI4-Lite register map: Vitis `ap_ctrl_hs`, then arguments, status and counters.

Offsets are in bytes; 64-bit registers take two words, low first. The Verilog header and the C++
harness are generated from this table. Registers whose names end in a number are one array: they follow
each other by their width.

Source: the ap_ctrl_hs block-level protocol of AMD UG1399 (control bits and interrupt registers).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COUNTERS", "COUNTER_BASE", "DATA_CHANNELS", "REGISTERS", "WEIGHT_BASES", "Register"]

DATA_CHANNELS = 4  # memory channels that 4 KB pages of the data space lie on in turn
WEIGHT_BASES = 8  # weight masters at most, each with a base of its own


@dataclass(frozen=True)
class Register:
    """One register: byte offset, width in bits (32 or 64), access ("rw", "ro", "wtc": write to clear)."""

    name: str
    offset: int
    width: int
    access: str
    doc: str


# What the machine counts between start and done, in register order from COUNTER_BASE.
COUNTERS = (
    ("cycles", "cycles from start to done"),
    ("packets", "packets retired"),
    ("mac_busy", "cycles in which the array multiplied"),
    ("mac_active", "cycles in which the MAC queue ran a packet"),
    ("vec_active", "cycles in which the VEC queue ran a packet"),
    ("wload_active", "cycles in which the WLOAD queue ran a packet"),
    ("load_active", "cycles in which the LOAD queue ran a packet"),
    ("store_active", "cycles in which the STORE queue ran a packet"),
    ("act_conflict", "cycles the MAC operand fetch lost to bank conflicts or arbitration"),
    ("read_beats", "32-byte beats read by all masters"),
    ("write_beats", "32-byte beats written by all masters"),
)

_FIXED = (
    Register("CONTROL", 0x00, 32, "rw", "bit 0 start, 1 done (clears on read), 2 idle, 3 ready, 7 auto restart"),
    Register("GLOBAL_INTERRUPT", 0x04, 32, "rw", "bit 0 enables the interrupt output"),
    Register("INTERRUPT_ENABLE", 0x08, 32, "rw", "bit 0 done, bit 1 ready"),
    Register("INTERRUPT_STATUS", 0x0C, 32, "wtc", "bit 0 done, bit 1 ready; write 1 to toggle"),
    *(
        Register(
            f"DATA_BASE_{c}",
            0x10 + 8 * c,
            64,
            "rw",
            f"byte address of data channel {c}: pages {c}, {c + 4}, {c + 8}, ..",
        )
        for c in range(DATA_CHANNELS)
    ),
    *(
        Register(f"WEIGHT_BASE_{m}", 0x30 + 8 * m, 64, "rw", f"byte address of what weight master {m} reads")
        for m in range(WEIGHT_BASES)
    ),
    Register("START_PACKET", 0x70, 32, "rw", "packet number where execution starts (entry point)"),
    Register("STATUS", 0x78, 32, "ro", "error code of the last run, 0 is fine"),
    Register("ERROR_ADDR", 0x80, 64, "ro", "data-space byte address of the packet that caused the error"),
    Register("HALT_CODE", 0x88, 32, "ro", "code field of the HALT that ended the run"),
)
COUNTER_BASE = 0x90

REGISTERS = _FIXED + tuple(
    Register(f"COUNTER_{name.upper()}", COUNTER_BASE + 8 * i, 64, "ro", doc) for i, (name, doc) in enumerate(COUNTERS)
)
