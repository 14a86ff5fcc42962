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

_TOP = """\
// Whether a packet may be dispatched, and to which queue: opcode, reserved bits, limits and rules.
// {generated}
// Combinational. Does not look at semaphores, at memory contents or at addresses that grow inside a packet.
// Same answer as vla_isa.encoding.illegal; compared in tests/isa/test_packet_check.py.
`default_nettype none
module vla_packet_check #(
  parameter [31:0] ActWords    = 32'd16384,  // activation scratchpad, words
  parameter [31:0] WeightWords = 32'd2048,   // weight scratchpad, words
  parameter [31:0] ParamWords  = 32'd1024    // parameter memory, words
) (
  input  wire [511:0] packet_i,
  output reg  [3:0]   error_o,   // 0, or an error code of the status register
  output reg  [2:0]   queue_o    // {queues}; meaningless with an error
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
    out += [
        "  always @(*) begin",
        "    error_o = 4'd0;",
        f"    queue_o = 3'd{FETCH_QUEUE};",
        "    case (packet_i[7:0])",
    ]
    for ins in live:
        low = ins.name.lower()
        out += [
            f"      8'h{ins.opcode:02X}: begin  // {ins.name}",
            f"        if ({low}_reserved) error_o = 4'd{ErrorCode.RESERVED_BITS:d};",
            f"        else if ({low}_limit || {low}_rule) error_o = 4'd{ErrorCode.FIELD_LIMIT:d};",
            *_queue(ins),
            "      end",
        ]
    out += [
        f"      default: error_o = 4'd{ErrorCode.ILLEGAL_OPCODE:d};",
        "    endcase",
        "  end",
        "endmodule",
        "`default_nettype wire",
        "",
    ]
    return "\n".join(out)


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
        yield f"({{{32 - f.width}'d0, {bits}}} >= {_MEMORIES[f.below]})"


def _constant(value: int, f: Field) -> str:
    sign = "-" if value < 0 else ""
    return f"{sign}{f.width}'{'s' if f.signed else ''}d{abs(value)}"


def _rules(ins: Instruction) -> Iterator[str]:
    yield f"  wire {ins.name.lower()}_rule ="
    for rule in ins.rules:
        yield f"    !({_expression(rule, ins)}) ||"
    yield "    1'b0;"


def _expression(rule: Rule, ins: Instruction) -> str:
    """A rule with every operand zero-extended to one width, so that no sum or product is cut."""

    def operand(match: re.Match[str]) -> str:
        token = match.group()
        if token.isdigit():
            return f"{_EXPRESSION_BITS}'d{token}"
        f = ins.by_name[token]
        return f"{{{_EXPRESSION_BITS - f.width}'d0, packet_i[{f.lsb + f.width - 1}:{f.lsb}]}}"

    return _TOKEN.sub(operand, rule.expression)


def _queue(ins: Instruction) -> Iterator[str]:
    if ins.queues:
        by = ins.by_name[ins.queue]
        yield f"        case (packet_i[{by.lsb + by.width - 1}:{by.lsb}])"
        for number, (name, queue) in enumerate(zip(by.enum, ins.queues, strict=True)):
            yield f"          {by.width}'d{number}: queue_o = 3'd{QUEUES.index(queue)};  // {name}"
        yield f"          default: queue_o = 3'd{FETCH_QUEUE};"
        yield "        endcase"
    elif ins.queue != FETCH:
        yield f"        queue_o = 3'd{QUEUES.index(ins.queue)};"
