"""Hypothesis strategies: packets with any field values, and legal packets of a config."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from vla_isa.encoding import encode, illegal
from vla_isa.fields import Field
from vla_isa.hardware import HardwareConfig
from vla_isa.instructions import TABLE, ErrorCode
from vla_isa.packet import Packet


@st.composite
def any_packets(draw: st.DrawFn) -> Packet:
    """Any instruction, any value that each field's width holds."""
    ins = draw(st.sampled_from(TABLE))
    return Packet(ins, {f.name: draw(st.integers(f.lowest, f.highest)) for f in ins.value_fields})


def _legal_value(f: Field, hw: HardwareConfig, rng: random.Random) -> int:
    top = f.legal_max if f.below is None else min(f.legal_max, getattr(hw, f.below) - 1)
    edge = rng.random()
    if edge < 0.2:
        return f.legal_min
    return top if edge < 0.4 else rng.randint(f.legal_min, top)


def legal_packet(hw: HardwareConfig, rng: random.Random) -> Packet:
    """A packet that dispatch accepts: limits first, then fields of broken rules drawn again."""
    ins = rng.choice([i for i in TABLE if i.implemented])
    values = {f.name: _legal_value(f, hw, rng) for f in ins.value_fields}
    while True:
        broken = [r for r in ins.rules if not r.holds(values)]
        if not broken:
            break
        for rule in broken:
            for name in rule.names:
                values[name] = _legal_value(ins.by_name[name], hw, rng)
    packet = Packet(ins, values)
    assert illegal(encode(packet), hw)[0] is ErrorCode.OK
    return packet
