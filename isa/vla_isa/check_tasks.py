"""What a program file says of its tasks, held against the program: images, weights, masks and records lie inside, and
each image is what its live blocks say.

Not here: what tasks are (`tasks.py`), the packets of their entry points (`validate.py`).
"""

from __future__ import annotations

import numpy as np

from vla_isa.errors import EncodingError, ProgramError
from vla_isa.integer import INT8
from vla_isa.program import Program
from vla_isa.tasks import DENSE, MAX_NAME, MAX_TASKS, LiveBlocks, MaskedConv, Tasks, task_image

__all__ = ["check_tasks"]


def check_tasks(program: Program) -> None:
    """Refuse tasks that a session could not unite.

    Raises:
        ProgramError: names the task or the convolution, and what is wrong.
    """
    tasks = program.tasks
    if tasks is None:
        return
    if {DENSE, *tasks.live} != set(tasks.lines) or set(tasks.lines) != set(program.entries):
        raise ProgramError(
            f"the program has entry points {', '.join(program.entries)}, images of the parameters of "
            f"{', '.join(tasks.lines)} and masks of {', '.join(tasks.live)}; each task must have all three, and "
            f"'{DENSE}' the first two, and nothing else any"
        )
    _check_names(tasks)
    if tasks.words < 1:
        raise ProgramError(f"tasks: an image of the parameters has {tasks.words} words; it must have one or more")
    sizes = {s.line: len(s.data) for s in program.constants}
    size = tasks.words * program.config.param_word_bytes
    for name, line in tasks.lines.items():
        if sizes.get(line) != size:
            raise ProgramError(f"task '{name}': its image of {size} bytes at data line {line} is no constant")
    for conv in tasks.convs:
        _check_conv(program, tasks, conv)
    for p in tasks.packets:
        if not (0 <= p.conv < len(tasks.convs) and 0 <= p.first < p.last <= tasks.convs[p.conv].outs):
            raise ProgramError(f"tasks: packet {p.number} is of blocks {p.first}..{p.last} of convolution {p.conv}")
    for name, live in tasks.live.items():
        if len(live) != len(tasks.convs):
            raise ProgramError(f"task '{name}' has masks of {len(live)} convolutions, not of {len(tasks.convs)}")
        for conv, blocks in zip(tasks.convs, live, strict=True):
            _check_live(name, conv, blocks)
    _check_images(program, tasks)


def _check_names(tasks: Tasks) -> None:
    if len(tasks.live) > MAX_TASKS:
        raise ProgramError(f"the program has {len(tasks.live)} tasks; it may have {MAX_TASKS} at most")
    for name in tasks.lines:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise ProgramError(f"task {name[:MAX_NAME]!r}: a name has 1 to {MAX_NAME} printable characters")
        if "+" in name:
            raise ProgramError(f"task '{name}': a name has no '+', which unites tasks")


def _check_images(program: Program, tasks: Tasks) -> None:
    """Hold each image of the file against what its live blocks make of the dense one, as unions are made of it."""
    segments = {s.line: s.data for s in program.constants}
    images = {name: np.frombuffer(segments[at], np.uint8).reshape(tasks.words, -1) for name, at in tasks.lines.items()}
    every = [LiveBlocks(list(range(c.outs)), list(range(c.ins))) for c in tasks.convs]
    for name, live in {DENSE: every, **tasks.live}.items():
        try:
            made = task_image(images[DENSE], program.weights, tasks.convs, live, program.config)
        except EncodingError as e:
            raise ProgramError(f"task '{name}': its image cannot be made of that of '{DENSE}': {e}") from e
        wrong = np.flatnonzero((made != images[name]).any(axis=1))
        if wrong.size:
            raise ProgramError(
                f"task '{name}': its image of the parameters is not what its live blocks make of that of '{DENSE}', "
                f"first in word {wrong[0]} of {tasks.words}; the file is damaged, compile the model again"
            )


def _check_conv(program: Program, tasks: Tasks, conv: MaskedConv) -> None:
    where, width = f"tasks: convolution '{conv.node}'", program.config.param_word_bytes
    if min(conv.taps, conv.outs, conv.ins) < 1 or conv.ins > 8 * width:
        text = f"{conv.taps} taps, {conv.outs} out and {conv.ins} in blocks"
        raise ProgramError(f"{where} has {text}; each must be positive, and in blocks at most {8 * width}")
    if conv.weight_word < 0 or conv.weight_word + conv.taps * conv.outs * conv.ins > len(program.weights):
        raise ProgramError(f"{where}: its weights lie outside the {len(program.weights)} words of the weight space")
    words = [conv.mask, conv.mask + conv.outs - 1, *conv.records]
    if len(conv.records) != conv.outs or min(words) < 0 or max(words) >= tasks.words:
        raise ProgramError(f"{where}: its masks or records lie outside the {tasks.words} words of an image")
    channels = conv.out_channels, conv.in_channels
    if [len(c) for c in channels] != [conv.outs, conv.ins] or min(map(min, channels)) < 0:
        raise ProgramError(f"{where}: its channels are not of {conv.outs} out and {conv.ins} in blocks")
    if not INT8.holds([conv.in_zero]):
        raise ProgramError(f"{where}: its zero point {conv.in_zero} is no int8")


def _check_live(task: str, conv: MaskedConv, live: LiveBlocks) -> None:
    for what, blocks, count in (("out", live.outs, conv.outs), ("in", live.ins, conv.ins)):
        if blocks != sorted(set(blocks)) or any(not 0 <= b < count for b in blocks):
            raise ProgramError(
                f"task '{task}', convolution '{conv.node}': its live {what} blocks are not of 0..{count - 1} in order"
            )
