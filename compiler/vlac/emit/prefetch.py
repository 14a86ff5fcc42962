"""Loads of weights and parameters: as early as the scratchpads have room, a few ahead of their first use.

Resolves the addresses that packets left open. Parameters of neighbouring operations are loaded together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, chain

from vla_isa.generated.codes import LARGEST_COUNT, Move
from vla_isa.hardware import BEAT_BYTES, LINE_BYTES, HardwareConfig
from vlac.ir.packet import Choice, RelocatablePacket
from vlac.plan.residency import Load, Use, plan_residency

__all__ = ["LOADS", "param_groups", "with_loads"]

LOADS = _WEIGHTS, _PARAMETERS = "load weights", "load parameters"
_COMPUTED = (Move.ACT_TO_WEIGHT, Move.DATA_TO_WEIGHT)  # in one queue with loads of weights
_AHEAD = 2  # loads beyond the needed ones that are issued per packet
_WAITING = LARGEST_COUNT // 2  # loads in front of the packets that read them, at most: semaphores count them


def param_groups(sizes: list[tuple[int, int]], limit: int, second: int | None = None) -> list[tuple[int, int]]:
    """(group number, word within the group) of each operation: the first alone, then as many as fit `limit`.

    `sizes` are words and experts of each operation; one of several experts is a group of its own. With `second` the
    second group has at most so many words, the next twice as many, up to the limit: none is waited for long.
    """
    groups: list[tuple[int, int]] = []
    number, used = 0, 0
    started = closed = False
    for size, experts in sizes:
        most = limit if second is None or not number else min(limit, second << (number - 1))
        if size and (used + size > most or (number == 0 and started) or closed or (experts > 1 and started)):
            number, used = number + 1, 0
        started = started or size > 0
        closed = experts > 1 if size else closed
        groups.append((number, used))
        used += size
    return groups


def with_loads(
    packets: list[RelocatablePacket],
    sizes: list[tuple[int, int]],
    params_line: int,
    ring_words: int,
    hw: HardwareConfig,
) -> list[RelocatablePacket]:
    """The packets with all loads among them and every address resolved.

    Args:
        packets: in order; those that choose an expert come behind the SET that takes its number.
        sizes: parameter words of each operation, of one expert, and how many experts it has, in order.
        params_line: data-space line of the first operation's parameters; the others follow without gaps.
        ring_words: of the weight scratchpad, for weights that are loaded.

    Raises:
        AllocationError: one packet's weights or parameters exceed their memory.
    """
    norms = any(packet.name == "REDUCE" for packet in packets)  # whose programs begin with short operations
    groups = param_groups(sizes, hw.param_words // 4, hw.param_words // 16 if norms else None)
    group_sizes: dict[int, int] = {}
    starts: dict[int, int] = {}
    word = 0
    for (group, _), (size, experts) in zip(groups, sizes, strict=True):
        starts.setdefault(group, word)
        group_sizes[group] = group_sizes.get(group, 0) + size
        word += size * experts
    weight_uses = [Use(i, (*d.weights, d.choice), d.weights[1]) for i, d in enumerate(packets) if d.weights]
    param_uses = []
    for i, packet in enumerate(packets):
        if packet.owner >= 0:
            group = groups[packet.owner][0]
            param_uses.append(Use(i, (group, group_sizes[group], packet.choice), group_sizes[group]))
    weight_loads, weight_bases = plan_residency(weight_uses, ring_words, "weight scratchpad")
    param_loads, param_bases = plan_residency(param_uses, hw.param_words, "parameter memory")
    for i, packet in enumerate(packets):
        if packet.weights:
            packet.values["weight_base"] = weight_bases[i]
        for name, relative in packet.relocations.items():
            packet.values[name] = param_bases[i] + groups[packet.owner][1] + relative
    lines = hw.param_word_bytes // LINE_BYTES
    ready = [(load, _weight_copy(load, packets[load.first])) for load in weight_loads]
    ready += [(load, _param_copy(load, params_line, starts, lines)) for load in param_loads]
    _after_selectors(packets, [load for load, _ in ready])
    return _merge(packets, sorted(ready, key=lambda r: (r[0].first, r[1].op != _PARAMETERS)), hw)


def _key(load: Load) -> tuple[int, Choice | None]:
    """The first weight word, or the group of parameters, and whose.

    Words of two sizes that begin at the same place are two things to load.
    """
    assert isinstance(load.key, tuple)
    number, _, choice = load.key
    return number, choice


def _after_selectors(packets: list[RelocatablePacket], loads: list[Load]) -> None:
    """Let no load of an expert's come before the register has its number."""
    places = {id(packet): number for number, packet in enumerate(packets)}
    for load in loads:
        choice = _key(load)[1]
        if choice is not None:
            load.after = max(load.after, places[id(choice.selector)])


def _weight_copy(load: Load, reader: RelocatablePacket) -> RelocatablePacket:
    """All weights of a chunk, or those blocks of them that the mask of its first reader has."""
    first, choice = _key(load)
    values = {"move": Move.WEIGHT_TO_WEIGHT, "src": first}
    if reader.in_blocks:
        outs, ins = reader.values["out_blocks"], reader.in_blocks
        taps = load.size // (outs * ins)
        values |= {"dst": load.base, "n0": taps, "n1": ins, "n2": outs, "n3": 1, "src_stride1": taps}
        values |= {"src_stride2": taps * ins, "mask_enable": 1, "mask_base": reader.values["mask_base"]}
        return RelocatablePacket("COPY", values, op=_WEIGHTS)
    return _copy(load, values, "load weights", choice, 0 if choice is None else choice.weight_step)


def _param_copy(load: Load, line: int, starts: dict[int, int], lines: int) -> RelocatablePacket:
    group, choice = _key(load)
    values = {"move": Move.DATA_TO_PARAM, "src": line + starts[group] * lines}
    return _copy(load, values, "load parameters", choice, 0 if choice is None else choice.param_step * lines)


def _copy(load: Load, values: dict[str, int], op: str, choice: Choice | None, step: int) -> RelocatablePacket:
    values |= {"dst": load.base, "n0": load.size, "n1": 1, "n2": 1, "n3": 1}
    if choice is not None:
        register = choice.selector.values["register"]
        values |= {
            "index_enable": 1,
            "index_register": register,
            "index_count": choice.count,
            "index_stride": step,
        }
    return RelocatablePacket("COPY", values, op=op)


@dataclass
class _Pace:
    """About when the queue of loads and the array are where, in cycles: neither ever waits for other engines."""

    packets: list[RelocatablePacket]
    hw: HardwareConfig
    loaded: float = 0.0  # when the queue is through with what it has

    def __post_init__(self) -> None:
        """Where the array is in front of each packet, and what copies computed weights beside loads."""
        self.reached = list(accumulate((self._array(p) for p in self.packets), initial=0))
        copies = [n for n, p in enumerate(self.packets) if p.values.get("move") in _COMPUTED and p.name == "COPY"]
        self.copies = [(n, self._reader(n)) for n in reversed(copies)]  # the next one last

    def _array(self, packet: RelocatablePacket) -> int:
        if packet.weights is None or packet.name != "GEMM":
            return packet.macs // self.hw.macs_per_cycle
        return packet.weights[1] * -(-packet.values["h"] * packet.values["m"] // self.hw.pixels)

    def _reader(self, copy: int) -> int:
        """The next product of two computed tensors."""
        later = range(copy, len(self.packets))
        return next((n for n in later if self.packets[n].name == "GEMM" and self.packets[n].weights is None), copy)

    def take(self, load: Load, copy: RelocatablePacket) -> None:
        """The queue has one more."""
        self.loaded = self._end(load, copy)

    def _end(self, load: Load, copy: RelocatablePacket) -> float:
        word, masters = self.hw.weight_word_bytes, self.hw.weight_masters
        if copy.op == _PARAMETERS:  # beside weights
            return self.loaded
        return max(self.loaded, self.reached[load.after + 1]) + load.size * word / (BEAT_BYTES * masters)

    def holds_up(self, number: int, load: Load, copy: RelocatablePacket) -> bool:
        """Whether a load behind a packet keeps a copy waiting that is read before what is loaded."""
        while self.copies and self.copies[-1][0] <= number:
            self.copies.pop()
        if not self.copies:
            return False
        place, reader = self.copies[-1]
        return load.first > reader and self._end(load, copy) > self.reached[place]


def _merge(
    packets: list[RelocatablePacket], loads: list[tuple[Load, RelocatablePacket]], hw: HardwareConfig
) -> list[RelocatablePacket]:
    """Loads in order of first use: what a packet needs before it, and up to _AHEAD more behind it, but for those that
    would keep the copies of keys and values waiting, which are read sooner.
    """
    out: list[list[RelocatablePacket]] = []
    pace, following, read = _Pace(packets, hw), 0, 0
    for number, packet in enumerate(packets):
        here: list[RelocatablePacket] = []
        while following < len(loads) and loads[following][0].first <= number:
            loads[following][1].node = packet.node
            here.append(loads[following][1])
            pace.take(*loads[following])
            following += 1
        here.append(packet)
        while read < following and loads[read][0].first <= number:
            read += 1
        for _ in range(min(_AHEAD, read + _WAITING - following)):
            if following < len(loads) and loads[following][0].after <= number:
                load, copy = loads[following]
                if pace.holds_up(number, load, copy):
                    break
                pace.take(load, copy)
                copy.node = packets[load.first].node
                here.append(copy)
                following += 1
        out.append(here)
    return list(chain.from_iterable(out))
