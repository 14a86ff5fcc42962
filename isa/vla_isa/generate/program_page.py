"""The reference page of the program file, from the container's and the image's own constants and types."""

from __future__ import annotations

import dataclasses

from vla_isa.container import ALIGNMENT, ENTRY_BYTES, MAGIC, VERSION
from vla_isa.generate.reference_pages import GENERATED, markdown_table
from vla_isa.host_functions import FUNCTIONS
from vla_isa.image import OPTIONAL, SECTIONS
from vla_isa.layout import TensorLayout
from vla_isa.package import HostNode, PartEntry
from vla_isa.program import IoTensor, MapEntry, SourceEntry
from vla_isa.signature import HostOp, ModelOutput, Value
from vla_isa.signature_section import ArrayEntry
from vla_isa.tasks import LiveBlocks, MaskedConv, MaskedPacket, Tasks

__all__ = ["program_page"]

_CONTENT = {
    "config": "JSON object: the whole hardware config, the keys of [configs](configs.md)",
    "heaps": "segments: instructions, 64 bytes each; the first segment at line 0. Packet numbers count "
    "through the segments in order",
    "constants": "segments: records, tables and masks that the loader writes into the data space",
    "weights": "the weight space: words of B x B bytes (output x input channel), int8",
    "entries": "JSON object: entry point name -> packet number",
    "io": "JSON object: `data_bytes` (size of the data space the program needs), `inputs`, `outputs` "
    "(lists of IoTensor: the device's)",
    "memory_map": "JSON list of MapEntry: who lies where, and during which packets",
    "sources": "JSON list of SourceEntry: which ONNX node a packet belongs to",
    "manifest": "JSON object: what the compiler wants to tell; nothing reads it to run",
    "signature": "JSON object: `inputs` (Values: the model's), `ops` (HostOps), `feeds` (for each input of the device "
    "the number of the value it takes), `outputs` (ModelOutputs), `arrays` (ArrayEntries); without this section the "
    "device's inputs and outputs are the model's, in float32",
    "arrays": "constants of the host's functions, each from the next multiple of 64 on",
    "graphs": "only of a program of several graphs, a file of the same form: `names` (JSON list: the entry points but "
    "the first, whose graph is in the sections above) and for each of them `io0`, `signature0`, `arrays0` and so on, "
    "as above but without `data_bytes`",
    "tasks": "JSON, of tasks only: `words` of an image of the parameters, the data `lines` where each entry point has "
    "its own, the convolutions `convs` that tasks mask, which `packets` are theirs, and the `live` blocks of each task",
    "onnx": "only after `vlac compile --embed-onnx`: the ONNX model, for `vlarun --backend ref`",
}

_TEXT = """\
`prog.bin` holds everything that a backend needs. It is little endian, starts with `{magic}`, has format
version {version}, and can be read with `numpy.memmap`. `vla_isa.image` writes and reads it.

## Form

| part | bytes | content |
| --- | --- | --- |
| header | {alignment} | see below |
| section table | {entry} per section | name 16 (ASCII, zero padded), offset u64, size u64, CRC u32, zero 12 |
| sections | | each at the next multiple of {alignment}, in the order of the table |

Header: magic 8 bytes, version u32, number of sections u32, file size u64, instruction table hash 16 bytes,
zero 16 bytes, CRC of the section table u32, CRC of the bytes before it u32.

CRC is CRC-32 as in zlib. Bytes between sections are zero and are checked; nothing follows the last section.
So any changed bit is refused. The instruction table hash is made from every name, opcode, field position,
limit, enumeration and rule: a program made for another table is refused, not misread.

"""

_SEGMENTS = """\
Segments: number u64; for each, data-space line u64 and size in bytes u64; then the bytes of each, from the
next multiple of {alignment} of the section on, zero between.

## Records

Every field is present where nothing else is said, none is unknown, integers are integers.
`real = (q - zero_point) * scale`.
"""

_LAYOUT = """\
TensorLayout: reshape the ONNX tensor (`shape`) to `view`, transpose by `permutation`, reshape to (`h`, `w`,
`c`). In memory it is `[h][blocks][planes][w][block]`, the plane of the low bytes first; each row of a plane of a
channel block starts on a 64-byte line. `planes` are the bytes of a value; it is left out where it is 1.
`channel_map` lists runs (first channel position, count); positions between them are padding; empty means one
run from 0.

HostOp: what the host computes in front of the device and behind it. The model's inputs are the values 0, 1, ...; the
result of host function i is value `len(inputs) + i`; `operands` are the numbers of values before it. An input of the
device takes a float32 value and quantizes it (round half to even, saturate), or an int8 value as it is, or a uint8
value less 128. `Device` is output `numbers[0]` of the device: float32 dequantized, int8 as it is, uint8 plus 128;
`Constant` is array `numbers[0]`. All others are the ONNX operator of their name, in numpy, in the dtype of their
operands (Cast to its own):

{functions}

`numbers` of Transpose are the permutation; of Slice the first element of every axis, then the step of every axis; of
Concat, Softmax and LogSoftmax the axis; of ArgMax and ArgMin the axis, then 1 where the last of equal values wins; of
Quantize the zero point (operand 1 is the scale: round to int8 and back). Raw outputs are the device's integers: those
of an output that is only moved (Concat, Reshape, Slice, Transpose) under its own name, of others the device's tensors
under theirs.
"""

_PARTS = """\
## Programs with host partitions

`vlac compile --allow-host` writes, where the machine refuses nodes, a file of the same form whose sections are
`parts` (JSON object: `inputs` and `outputs`, lists of Value, and `parts`, a list of PartEntry), one section
`part0`, `part1`, ... per part in the order they run, and `onnx` as above. The section of a part of kind `device`
is a whole program file, that of a part of kind `host` an ONNX model. Parts hand each other real numbers by name.
"""

_CHECKS = """\
## Checked at load

- Heaps, constants, inputs and outputs lie inside `data_bytes`; heaps and constants overlap nothing.
- Of several graphs, tensors of two graphs at one line have one layout, scale and zero point.
- Every host function is known, reads values before it, and fits their shapes and dtypes; sizes are bounded.
- Every packet passes dispatch's check (see [instructions](isa.md)); `allow_illegal` leaves it to the machine.
- Of tasks: images are constants, masks, records and weights lie inside them, live blocks exist.
- From every entry point: each JUMP goes to the start of a heap, the path ends in HALT, no packet runs twice.
- Every word that a packet reads or writes lies inside its memory; masks are known: they come from constants.

The order of accesses is checked by `vlac` on every program it writes and by `vlarun --check`.
"""


def program_page() -> str:
    """`docs/reference/program.md`: the form of the file, its sections and records, and what load checks."""
    values = {"magic": MAGIC.decode().strip() + "\\n", "version": VERSION, "alignment": ALIGNMENT, "entry": ENTRY_BYTES}
    out = ["# Program file", "", GENERATED, "", _TEXT.format(**values), "## Sections", ""]
    out += [
        *markdown_table(("section", "content"), [(f"`{s}`", _CONTENT[s]) for s in (*SECTIONS, *OPTIONAL)]),
        "",
        _SEGMENTS.format(**values),
    ]
    rows = [
        (kind.__name__, f"`{f.name}`", f"`{f.type}`")
        for kind in (
            IoTensor,
            Value,
            HostOp,
            ModelOutput,
            ArrayEntry,
            TensorLayout,
            MapEntry,
            SourceEntry,
            PartEntry,
            HostNode,
            Tasks,
            MaskedConv,
            MaskedPacket,
            LiveBlocks,
        )
        for f in dataclasses.fields(kind)
    ]
    functions = ", ".join(f"`{name}`" for name in FUNCTIONS)
    out += [
        *markdown_table(("record", "field", "type"), rows),
        "",
        _LAYOUT.format(functions=functions),
        _PARTS,
        _CHECKS,
    ]
    return "\n".join(out)
