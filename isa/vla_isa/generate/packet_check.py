"""The module `vla_packet_check`: dispatch's legality check in Verilog-2005, exactly `encoding.illegal`.

Every limit of a field becomes one comparison, every rule of the table one expression. Only the error code
is produced; the sentence that names the field is Python's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vla_isa.fields import Field, Rule
from vla_isa.generate.verilog_header import FETCH_QUEUE, GENERATED
from vla_isa.instructions import TABLE, ErrorCode
from vla_isa.packet import FETCH, QUEUES, Instruction

__all__ = ["module"]

_MEMORIES = {"act_words": "ActWords", "weight_words": "WeightWords", "param_words": "ParamWords"}
_TOKEN = re.compile(r"[a-z][a-z0-9_]*|[0-9]+")
_EXPRESSION_BITS = 40  # wide enough for every sum and product of a rule
_AT_MOST = re.compile(rf"(?P<name>[a-z0-9_]+_q) <= {_EXPRESSION_BITS}'d(?P<limit>[0-9]+)")

_PRODUCT = re.compile(r"[a-z][a-z0-9_]* \* [a-z][a-z0-9_]*")

_TOP = """\
// Whether a packet may be dispatched, and to which queue: opcode, reserved bits, limits and rules.
// {generated}
// Does not look at semaphores, at memory contents or at addresses that grow inside a packet.
// Latency: error_o and queue_o are those of the packet one cycle after valid_i, until the next one. What a packet would
// break as each instruction is found in the first cycle, in the second its opcode picks. Products of a rule are
// registers.
// Same answer as vla_isa.encoding.illegal; compared in tests/isa/test_packet_check.py.
`default_nettype none
module vla_packet_check #(
  parameter [31:0] ActWords    = 32'd16384,  // activation scratchpad, words
  parameter [31:0] WeightWords = 32'd2048,   // weight scratchpad, words
  parameter [31:0] ParamWords  = 32'd1024    // parameter memory, words
) (
  input  wire         clk_i,
  input  wire         valid_i,
  input  wire [511:0] packet_i,
  output wire [3:0]   error_o,   // 0, or an error code of the status register
  output wire [2:0]   queue_o    // {queues}; meaningless with an error
);
"""


def module() -> str:
    """The text of `vla_packet_check.v`."""
    queues = ", ".join(f"{i} {name}" for i, name in enumerate((*QUEUES, FETCH)))
    live = [ins for ins in TABLE if ins.implemented]
    out = [_TOP.format(generated=GENERATED, queues=queues)]
    for ins in live:
        out += [*_reserved(ins), *_limits(ins), *_rules(ins), ""]
    out += ["  // bits that no check reads", "  wire unused_packet = ^packet_i;", ""]
    out += [*_queues(live), "", *_first_cycle(live), "", *_second_cycle(live)]
    out += ["endmodule", "`default_nettype wire", ""]
    return "\n".join(out)


def _queues(live: list[Instruction]) -> Iterator[str]:
    yield "  reg [2:0] queue;"
    yield "  always @(*) begin"
    yield f"    queue = 3'd{FETCH_QUEUE};"
    yield "    case (packet_i[7:0])"
    for ins in live:
        if ins.queue != FETCH:
            yield f"      8'h{ins.opcode:02X}: begin  // {ins.name}"
            yield from _queue(ins)
            yield "      end"
    yield "      default: ;"
    yield "    endcase"
    yield "  end"


def _first_cycle(live: list[Instruction]) -> Iterator[str]:
    """Registers with a bit for each instruction: whether the packet is one, and what it breaks if it is."""
    yield f"  reg [{len(live) - 1}:0] is_q, reserved_q, limit_q, rule_q;"
    yield "  reg [2:0] queue_q;"
    yield "  always @(posedge clk_i) begin"
    yield "    if (valid_i) begin"
    for number, ins in enumerate(live):
        low = ins.name.lower()
        yield f"      is_q[{number}] <= packet_i[7:0] == 8'h{ins.opcode:02X};  // {ins.name}"
        yield f"      reserved_q[{number}] <= {low}_reserved;"
        yield f"      limit_q[{number}] <= {low}_limit;"
        yield f"      rule_q[{number}] <= {low}_rule;"
    yield "      queue_q <= queue;"
    yield "    end"
    yield "  end"


def _second_cycle(live: list[Instruction]) -> Iterator[str]:
    late = [f"{ins.name.lower()}_late" if any(map(_is_late, ins.rules)) else "1'b0" for ins in reversed(live)]
    yield f"  wire [{len(live) - 1}:0] broken = limit_q | rule_q | {{{', '.join(late)}}};"
    yield f"  assign error_o = !(|is_q) ? 4'd{ErrorCode.ILLEGAL_OPCODE:d}"
    yield f"                 : |(is_q & reserved_q) ? 4'd{ErrorCode.RESERVED_BITS:d}"
    yield f"                 : |(is_q & broken) ? 4'd{ErrorCode.FIELD_LIMIT:d} : 4'd{ErrorCode.OK:d};"
    yield "  assign queue_o = queue_q;"


def _reserved(ins: Instruction) -> Iterator[str]:
    parts = [f"(|packet_i[{f.lsb + f.width - 1}:{f.lsb}])" for f in ins.fields if f.reserved]
    yield f"  wire {ins.name.lower()}_reserved = {' || '.join(parts) or '1' + chr(39) + 'b0'};"


def _limits(ins: Instruction) -> Iterator[str]:
    checks = [(check, f) for f in ins.value_fields for check in _field_limits(f)]
    yield f"  wire {ins.name.lower()}_limit ="
    for check, f in checks:
        yield f"    {check} ||  // {f.name}"
    yield "    1'b0;"


def _field_limits(f: Field) -> Iterator[str]:
    """Comparisons that are true when the field breaks a limit; none where the width cannot break it."""
    bits = f"packet_i[{f.lsb + f.width - 1}:{f.lsb}]"
    value = f"$signed({bits})" if f.signed else bits
    if f.legal_min > f.lowest:
        # an unsigned field with minimum 1 is a test for zero: cheaper than a comparator
        yield (
            f"({bits} == {f.width}'d0)"
            if not f.signed and f.legal_min == 1
            else f"({value} < {_constant(f.legal_min, f)})"
        )
    if f.legal_max < f.highest:
        yield (
            f"({bits} != {f.width}'d0)"
            if not f.signed and f.legal_max == 0
            else f"({value} > {_constant(f.legal_max, f)})"
        )
    if f.below is not None:
        # a memory has a power of two of words: the bits above its addresses, cheaper than a comparator
        yield f"(({{{32 - f.width}'d0, {bits}}} & -{_MEMORIES[f.below]}) != 32'd0)"


def _constant(value: int, f: Field) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}{f.width}'{'s' if f.signed else ''}d{abs(value)}"


def _is_late(rule: Rule) -> bool:
    return _PRODUCT.search(rule.expression) is not None


def _rules(ins: Instruction) -> Iterator[str]:
    low = ins.name.lower()
    yield f"  wire {low}_rule ="
    for rule in ins.rules:
        if not _is_late(rule):
            yield f"    !({_expression(rule.expression, ins)}) ||"
    yield "    1'b0;"
    late = [rule.expression for rule in ins.rules if _is_late(rule)]
    if late:
        yield from _late_rules(late, ins)


def _late_rules(rules: list[str], ins: Instruction) -> Iterator[str]:
    """Rules with products: these and the other fields go into registers, the rules are judged behind them."""
    low, bits = ins.name.lower(), _EXPRESSION_BITS - 1
    first: dict[str, str] = {}  # registers, and what goes into them

    def register(match: re.Match[str]) -> str:
        token = match.group()
        if token.isdigit():
            return f"{_EXPRESSION_BITS}'d{token}"
        name = f"{low}_{token.replace(' * ', '_times_')}_q"
        first[name] = _expression(token, ins)
        return name

    judged = [re.sub(f"{_PRODUCT.pattern}|{_TOKEN.pattern}", register, rule) for rule in rules]
    judged = [_AT_MOST.sub(_at_most, rule) for rule in judged]
    yield f"  reg [{bits}:0] {', '.join(first)};"
    yield "  always @(posedge clk_i) begin"
    yield "    if (valid_i) begin"
    yield from (f"      {name} <= {value};" for name, value in first.items())
    yield "    end"
    yield "  end"
    yield f"  wire {low}_late = {' || '.join(f'!({rule})' for rule in judged)};"


def _at_most(match: re.Match[str]) -> str:
    """Comparison of a register with a constant, without a carry chain where this is a power of two."""
    value = int(match["limit"])
    if value & (value - 1):
        return match.group()
    name, bits = match["name"], _EXPRESSION_BITS
    return f"(({name} & -{bits}'d{value}) == {bits}'d0 || {name} == {bits}'d{value})"


def _expression(rule: str, ins: Instruction) -> str:
    """A rule with every operand zero-extended to one width, so that no sum or product is cut."""

    def operand(match: re.Match[str]) -> str:
        token = match.group()
        if token.isdigit():
            return f"{_EXPRESSION_BITS}'d{token}"
        f = ins.by_name[token]
        return f"{{{_EXPRESSION_BITS - f.width}'d0, packet_i[{f.lsb + f.width - 1}:{f.lsb}]}}"

    return _TOKEN.sub(operand, rule)


def _queue(ins: Instruction) -> Iterator[str]:
    if ins.queues:
        by = ins.by_name[ins.queue]
        yield f"        case (packet_i[{by.lsb + by.width - 1}:{by.lsb}])"
        for number, (name, queue) in enumerate(zip(by.enum, ins.queues, strict=True)):
            yield f"          {by.width}'d{number}: queue = 3'd{QUEUES.index(queue)};  // {name}"
        yield f"          default: queue = 3'd{FETCH_QUEUE};"
        yield "        endcase"
    else:
        yield f"        queue = 3'd{QUEUES.index(ins.queue)};"
