"""vla_read_arbiter between clients and a memory that are ready at random."""

from __future__ import annotations

import random
from collections import deque

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import pack, settle, start

BURSTS = 400


@cocotb.test()
async def random_bursts(dut) -> None:
    """Every burst comes back whole to the client that asked, in its order; no client waits for long."""
    rng = random.Random(6)
    clients, in_flight = int(dut.Clients.value), int(dut.InFlight.value)
    await start(dut, "ar_valid_i", "ar_addr_i", "ar_len_i", "r_ready_i", "m_ar_ready_i", "m_r_valid_i", "m_r_last_i")
    asks: list[tuple[int, int] | None] = [None] * clients  # address, beats
    wanted: list[deque[int]] = [deque() for _ in range(clients)]  # data of the beats to come
    flight: deque[list[int]] = deque()  # data of the bursts in the memory
    offered: tuple[int, int] | None = None
    asked = got = most = 0
    waits = [0] * clients
    while got < BURSTS:
        for i in range(clients):
            if asks[i] is None and asked < BURSTS and rng.random() < 0.5:
                asks[i] = (rng.getrandbits(52) << 12, rng.randrange(1, 9))
                asked += 1
        ready, m_ready = [rng.random() < 0.7 for _ in range(clients)], rng.random() < 0.6
        m_valid = bool(flight) and rng.random() < 0.8
        dut.ar_valid_i.value = pack((a is not None for a in asks), 1)
        dut.ar_addr_i.value = pack((a[0] if a else 0 for a in asks), 64)
        dut.ar_len_i.value = pack((a[1] - 1 if a else 0 for a in asks), 8)
        dut.r_ready_i.value, dut.m_ar_ready_i.value = pack(ready, 1), int(m_ready)
        dut.m_r_valid_i.value = int(m_valid)
        if m_valid:
            dut.m_r_data_i.value, dut.m_r_last_i.value = flight[0][0], int(len(flight[0]) == 1)
            dut.m_r_error_i.value = flight[0][0] & 1
        await settle()
        owners = [i for i in range(clients) if dut.r_valid_o.value.to_unsigned() >> i & 1]
        assert len(owners) == int(m_valid)
        if m_valid:
            owner = owners[0]
            assert dut.r_data_o.value.to_unsigned() == wanted[owner][0]
            assert dut.r_error_o.value == wanted[owner][0] & 1
            assert bool(dut.m_r_ready_o.value) == ready[owner]
            if ready[owner]:
                wanted[owner].popleft()
                flight[0].pop(0)
                if not flight[0]:
                    flight.popleft()
                    got += 1
        taken = dut.ar_ready_o.value.to_unsigned()
        shown = (dut.m_ar_addr_o.value.to_unsigned(), dut.m_ar_len_o.value.to_unsigned() + 1)
        if offered is not None:
            assert dut.m_ar_valid_o.value and shown == offered
        offered = shown if dut.m_ar_valid_o.value and not m_ready else None
        assert taken.bit_count() == int(bool(dut.m_ar_valid_o.value) and m_ready)
        for i in range(clients):
            waits[i] += taken.bit_count() if asks[i] else 0
            if taken >> i & 1:
                assert asks[i] == shown
                beats = [rng.getrandbits(256) for _ in range(shown[1])]
                wanted[i].extend(beats)
                flight.append(beats)
                asks[i], waits[i] = None, 0
        most = max(most, len(flight))
        assert len(flight) <= in_flight and max(waits) <= clients
        await FallingEdge(dut.clk_i)
    assert asked == BURSTS and most == in_flight and not any(wanted)
