"""The C++ header of the simulation harness: register offsets, counters, error codes, memory sizes."""

from __future__ import annotations

from vla_isa.generate.verilog_header import GENERATED
from vla_isa.hardware import BEAT_BYTES, HEAP_BYTES, LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.registers import COUNTER_BASE, COUNTERS, DATA_CHANNELS, REGISTERS, WEIGHT_BASES

__all__ = ["header"]


def header() -> str:
    """The text of `vla_isa.h`."""
    sizes = (("kBeatBytes", BEAT_BYTES), ("kLineBytes", LINE_BYTES), ("kHeapBytes", HEAP_BYTES))
    out = [
        "// Register map, counters and error codes of the accelerator, for the harness.",
        f"// {GENERATED}",
        "#pragma once",
        "",
        "#include <cstdint>",
        "",
        "namespace vla_isa {",
        "",
    ]
    out += [f"constexpr uint32_t {name} = {value};" for name, value in sizes]
    out += [
        "",
        "// byte offsets of the AXI4-Lite registers; 64-bit ones take two words, low first",
        "enum Register : uint32_t {",
    ]
    out += [f"  REG_{r.name} = 0x{r.offset:02X},  // {r.width} bits, {r.access}: {r.doc}" for r in REGISTERS]
    out += [
        "};",
        "",
        f"constexpr int kDataChannels = {DATA_CHANNELS};",
        f"constexpr int kWeightBases = {WEIGHT_BASES};",
        f"constexpr uint32_t kCounterBase = 0x{COUNTER_BASE:02X};",
        f"constexpr int kCounters = {len(COUNTERS)};",
        "constexpr const char* kCounterNames[kCounters] = {",
    ]
    out += [f'    "{name}",  // {doc}' for name, doc in COUNTERS]
    out += ["};", "", "enum ErrorCode : uint32_t {"]
    out += [f"  ERROR_{e.name} = {e.value}," for e in ErrorCode]
    out += [
        "};",
        "",
        f"constexpr int kErrorCodes = {len(ErrorCode)};",
        "constexpr const char* kErrorNames[kErrorCodes] = {",
    ]
    out += [f'    "{e.name}",' for e in ErrorCode]
    return "\n".join([*out, "};", "", "}  // namespace vla_isa", ""])
