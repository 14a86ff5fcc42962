"""COPY: strided moves between the data space, the weight space and the on-chip memories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.generated.codes import Move, Unit
from vla_isa.hardware import LINE_BYTES
from vla_isa.packet import Packet
from vlarun.memory import Bytes, Machine, Region

__all__ = ["execute", "sides"]

# (source memory, destination memory) of each move
_MEMORIES = {
    Move.DATA_TO_ACT: ("data", "act"),
    Move.ACT_TO_ACT: ("act", "act"),
    Move.FILL_ACT: (None, "act"),
    Move.DATA_TO_PARAM: ("data", "param"),
    Move.WEIGHT_TO_WEIGHT: ("weight space", "weight"),
    Move.ACT_TO_DATA: ("act", "data"),
    Move.ACT_TO_WEIGHT: ("act", "weight"),
    Move.DATA_TO_WEIGHT: ("data", "weight"),
}


def execute(packet: Packet, machine: Machine) -> None:
    """Read the source whole, then write the destination; a count of zero moves nothing.

    Raises:
        DataSpaceError: the data space or the weight space ends before the region.
    """
    found = sides(packet, machine)
    if found is None:
        return
    origin, to = found
    source, destination = _MEMORIES[Move(packet["move"])]
    if origin is None or source is None:
        to.write(_bytes(machine, destination), np.full(to.shape, packet["pad"], np.int8))
        return
    values = origin.read(_bytes(machine, source))
    if packet["unit"] == Unit.TRANSPOSE:
        block = machine.hw.block
        values = values.reshape(-1, block, block).transpose(0, 2, 1)
    if packet["mask_enable"]:
        live = machine.mask_at(packet["mask_base"], packet["n2"], packet["n1"])
        values = values[0][live]
        to = Region(to.base, (1, 1, 1), (0, 0, 0), values.size)
        if values.size == 0:
            return
    to.write(_bytes(machine, destination), values.reshape(to.shape))


def sides(packet: Packet, machine: Machine) -> tuple[Region | None, Region] | None:
    """The source (None: there is none, the move fills) and the destination; None where nothing moves.

    Raises:
        DataSpaceError: see `execute`.
    """
    if 0 in (packet["n0"], packet["n1"], packet["n2"], packet["n3"]):
        return None
    source, destination = _MEMORIES[Move(packet["move"])]
    inner = packet["n0"] * _unit(machine, source if destination == "data" else destination)
    if packet["unit"] == Unit.TRANSPOSE:
        inner *= machine.hw.block
    to = _side(packet, machine, "dst", destination, inner)
    return None if source is None else _side(packet, machine, "src", source, inner), to


def _unit(machine: Machine, memory: str | None) -> int:
    """Bytes of a word of an on-chip memory, or of a weight space word."""
    hw = machine.hw
    return {"act": hw.act_word_bytes, "param": hw.param_word_bytes}.get(memory or "", hw.weight_word_bytes)


def _side(packet: Packet, machine: Machine, prefix: str, memory: str, inner: int) -> Region:
    """The region on one side of the move."""
    unit = LINE_BYTES if memory == "data" else _unit(machine, memory)
    strides = tuple(packet[f"{prefix}_stride{i}"] * unit for i in (3, 2, 1))
    ring = packet[f"{prefix}_ring"] if memory == "act" else 0
    slot = packet[f"{prefix}_slot"] if ring else 0
    region = Region(
        packet[prefix] * unit,
        (packet["n3"], packet["n2"], packet["n1"]),
        (strides[0], strides[1], strides[2]),
        inner,
        ring,
        slot,
    )
    if memory in ("data", "weight space"):
        machine.require(region, _bytes(machine, memory), memory)
    return region


def _bytes(machine: Machine, memory: str) -> Bytes:
    arrays: dict[str, NDArray[np.int8] | NDArray[np.uint8]] = {
        "data": machine.data,
        "act": machine.act,
        "param": machine.param,
        "weight": machine.weight,
        "weight space": machine.weight_space,
    }
    return arrays[memory].reshape(-1).view(np.int8)
