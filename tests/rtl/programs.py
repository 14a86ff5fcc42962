"""Programs of hand-written packets for tests of the whole machine.

`program` puts packets at the start of the data space; `copy` makes the COPY that only waits and signals.
Not here: running them (vlarun's backends do).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_isa.encoding import encode, make_packet
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import MOVES
from vla_isa.packet import Packet
from vla_isa.program import Program, Segment

# one `move` of each queue that COPY runs in
WLOAD, LOAD, STORE = MOVES.index("weight_to_weight"), MOVES.index("data_to_act"), MOVES.index("act_to_data")


def mask(*semaphores: int) -> int:
    """The mask of these semaphores."""
    return sum(1 << s for s in semaphores)


def copy(move: int, wait: int = 0, signal: int = 0, **fields: int) -> Packet:
    """A COPY; without counts it moves nothing."""
    return make_packet("COPY", move=move, wait=wait, signal=signal, **fields)


def halt(code: int = 0, wait: int = 0, signal: int = 0) -> Packet:
    """The HALT at the end."""
    return make_packet("HALT", code=code, wait=wait, signal=signal)


def program(
    hw: HardwareConfig,
    packets: list[Packet | bytes],
    *,
    data_bytes: int = 1 << 17,
    segments: dict[int, bytes] | None = None,
    weights: NDArray[np.int8] | None = None,
    entry: int = 0,
) -> Program:
    """Packets from line 0 on, other bytes at the lines of `segments`, zero elsewhere."""
    heap = b"".join(p if isinstance(p, bytes) else encode(p) for p in packets)
    assert len(heap) <= 65536 and data_bytes % LINE_BYTES == 0
    return Program(
        config=hw,
        heaps=[Segment(0, heap)],
        constants=[Segment(n, b) for n, b in (segments or {}).items()],
        weights=np.zeros((0, hw.weight_word_bytes), np.int8) if weights is None else weights,
        data_bytes=data_bytes,
        entries={"main": entry},
        inputs=[],
        outputs=[],
    )
