"""vla_act_memory beside an array: random lanes that hold their requests until they are granted."""

from __future__ import annotations

import random

import cocotb
from cocotb.triggers import FallingEdge
from stimulus import lane, pack, settle, start

BANKS = 16


READ_CYCLES = 3  # from a granted read to its word


def granted(requests: list[int | None], *, operands: int = 0, shared: bool) -> list[bool]:
    """Which addresses are served in a cycle: those whose bank no lower lane wants for another word.

    Operands are always served; the others get no word of a bank that an operand wants. Writes share nothing.
    """
    out = []
    for number, address in enumerate(requests):
        lower = [
            (other < operands, a)
            for other, a in enumerate(requests[:number])
            if address is not None and a is not None and a % BANKS == address % BANKS
        ]
        loses = any(sure or not shared or a != address for sure, a in lower)
        out.append(address is not None and (number < operands or not loses))
    return out


def free_operands(rng: random.Random, count: int, span: int) -> list[int | None]:
    """What the operands ask for in a cycle: one word of each bank at most, the same one more than once perhaps."""
    words: dict[int, int] = {}
    out: list[int | None] = []
    for _ in range(count):
        address = rng.randrange(span)
        out.append(words.setdefault(address % BANKS, address) if rng.random() < 0.5 else None)
    return out


@cocotb.test()
async def random_lanes(dut) -> None:
    """Grants and words agree with the model in every cycle; every kind of conflict happens."""
    rng = random.Random(2)
    words, operands, readers, writers = (int(p.value) for p in (dut.ActWords, dut.Operands, dut.Readers, dut.Writers))
    bits, width = words.bit_length() - 1, 8 * int(dut.Block.value)
    await start(dut, "rd_valid_i", "rd_addr_i", "wr_valid_i", "wr_addr_i", "wr_data_i")
    memory: dict[int, int] = {}  # words written so far
    reads: list[int | None] = [None] * readers
    writes: list[tuple[int, int] | None] = [None] * writers
    granted_before = [[(False, None)] * readers] * READ_CYCLES  # of the last cycles: whether, and the word if known
    seen = {"read": 0, "same": 0, "refused": 0, "written": 0, "both": 0}
    for _ in range(5000):
        span = rng.choice((20, words))  # few words, so that lanes collide
        reads = [r if r is not None or rng.random() < 0.4 else rng.randrange(span) for r in reads]
        reads[:operands] = free_operands(rng, operands, span)
        writes = [w if w or rng.random() < 0.4 else (rng.randrange(span), rng.getrandbits(width)) for w in writes]
        dut.rd_valid_i.value = pack((r is not None for r in reads), 1)
        dut.rd_addr_i.value = pack((r if r is not None else rng.randrange(words) for r in reads), bits)
        dut.wr_valid_i.value = pack((w is not None for w in writes), 1)
        dut.wr_addr_i.value = pack((w[0] if w else rng.randrange(words) for w in writes), bits)
        dut.wr_data_i.value = pack((w[1] if w else 0 for w in writes), width)
        await settle()
        for i, (served_then, word) in enumerate(granted_before[0]):
            assert lane(dut.rd_word_o, i, 1) == served_then
            assert word is None or lane(dut.rd_data_o, i, width) == word
        read = granted(reads, operands=operands, shared=True)
        written = granted([w[0] if w else None for w in writes], shared=False)
        assert dut.rd_grant_o.value.to_unsigned() == pack(read, 1)
        assert dut.wr_grant_o.value.to_unsigned() == pack(written, 1)
        due = [(g, memory.get(a) if g and a is not None else None) for a, g in zip(reads, read, strict=True)]
        granted_before = [*granted_before[1:], due]
        served = [a for a, g in zip(reads, read, strict=True) if g]
        seen["read"] += sum(word is not None for _, word in due)
        seen["same"] += len(served) - len(set(served))
        seen["refused"] += sum(r is not None for r in reads) - len(served)
        for number, (write, done) in enumerate(zip(writes, written, strict=True)):
            if write and done:
                memory[write[0]] = write[1]
                writes[number] = None
                seen["written"] += 1
                seen["both"] += write[0] in served
        reads = [None if g else a for a, g in zip(reads, read, strict=True)]
        await FallingEdge(dut.clk_i)
    assert min(seen.values()) > 100, seen
