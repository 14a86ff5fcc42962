"""Task masks: which output channels of which convolutions a task uses, as a file, a model's metadata or a caller says.

    {"follow_lane": {"conv2": [0, 1, 3]}, "turn_left": {"conv2": [0, 2], "conv3": [0]}}
    {"block": 16, "tasks": {...}}                          where blocks are not those of the hardware config
    {"block": 16, "input": "command", "tasks": {...}}      where an input is the one-hot number of the task

A block is B output channels, block n those from n * B on. What a task does not list is live: all blocks of a
convolution that it does not name. A dead block is zero behind its convolution, in front of the activation; a
BatchNormalization, bias or scale that the compiler folds into the convolution counts as part of it. With an "input" the
model is run in its tasks alone, never as a whole: that is what it is calibrated and measured with.
Not here: what a dead block means for other operations (`legalize/mask_tasks.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vla_isa.errors import did_you_mean
from vla_isa.hardware import HardwareConfig
from vla_isa.tasks import DENSE, MAX_NAME, MAX_TASKS
from vlac.errors import CalibrationError, ModelError
from vlac.model.labels import node_label
from vlac.model.reading import attribute, shape_of

__all__ = ["KEY", "TaskMasks", "masked_models", "read_task_masks"]

KEY = "vlac.task_masks"  # of a model's metadata
_FORM = '{"task": {"conv node": [live output blocks]}}'
_RESERVED = "+:="  # of the command lines


@dataclass(frozen=True)
class TaskMasks:
    """Task -> convolution -> its live output channels.

    Attributes:
        channels: bool [O], by task and convolution.
        origin: who said so, for messages.
        chosen_by: the input that is the one-hot number of the task, in the order of `channels`; or "".
    """

    channels: Mapping[str, Mapping[str, NDArray[np.bool_]]] = field(default_factory=dict)
    origin: str = ""
    chosen_by: str = ""

    @property
    def convs(self) -> list[str]:
        """The convolutions that any task names."""
        return list(dict.fromkeys(name for masks in self.channels.values() for name in masks))

    def number(self, inputs: Mapping[str, NDArray[Any]]) -> int:
        """The task of these inputs of the model, where one of them chooses it."""
        return int(np.argmax(inputs[self.chosen_by]))

    def check_samples(self, samples: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Refuse calibration data that would be seen in a task that it does not say.

        Raises:
            CalibrationError: names the sample, what it says, and what would be right.
        """
        for number, sample in enumerate(samples if self.chosen_by else ()):
            said = sample[self.chosen_by].ravel()
            if sorted(said.tolist()) != [0] * (said.size - 1) + [1]:
                raise CalibrationError(
                    f"{self.origin}: calibration sample {number}: input '{self.chosen_by}' is "
                    f"{_shown(said.tolist())}, which chooses no task; it must be 1 at the task's number and 0 elsewhere"
                )


def read_task_masks(
    model: ir.Model, given: str | Path | Mapping[str, Any] | None, said: str | None, hw: HardwareConfig
) -> TaskMasks:
    """The masks of the tasks of a model, checked against it.

    Args:
        model: whose nodes are named.
        given: a JSON file, or what it would hold; None: what the model says.
        said: what the model's metadata has under `KEY`.

    Raises:
        ModelError: names the task, the convolution and the value that is wrong, and what would be right.
    """
    if given is None and said is None:
        return TaskMasks()
    origin = "task masks" if isinstance(given, Mapping) else f"--task-masks {given}" if given is not None else ""
    reader = _Reader(model, origin or f"metadata '{KEY}'", hw)
    if isinstance(given, Mapping):
        return reader.masks(given)
    return reader.masks(reader.parsed(said if given is None else _text(given, reader.origin)))


def masked_models(model: ir.Model, masks: TaskMasks) -> list[ir.Model]:
    """For each task a copy of a float model whose dead channels are multiplied by 0; values keep their names."""
    return [_masked(model, channels) for channels in masks.channels.values()]


def _masked(model: ir.Model, channels: Mapping[str, NDArray[np.bool_]]) -> ir.Model:
    out = model.clone()
    for node in [n for n in out.graph if node_label(n) in channels]:
        value, live = node.outputs[0], channels[node_label(node)]
        keep = ir.tensor(live.astype(np.float32).reshape(1, -1, 1, 1))
        constant = ir.node("Constant", [], {"value": keep})
        product = ir.node("Mul", [value, constant.outputs[0]])
        made = product.outputs[0]
        made.shape, made.type = value.shape, value.type
        ir.convenience.replace_all_uses_with(value, made, replace_graph_outputs=True)
        product.replace_input_with(0, value)
        out.graph.insert_after(node, [constant, product])
        made.name, value.name = value.name, f"{value.name}.whole"
    return out


def _text(path: str | Path, origin: str) -> str | None:
    try:
        return Path(path).read_text("utf-8")
    except OSError as e:
        raise ModelError(f"{origin}: the file cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ModelError(f"{origin}: the file is not text in UTF-8") from e


class _Reader:
    """Reads masks of one origin."""

    def __init__(self, model: ir.Model, origin: str, hw: HardwareConfig) -> None:
        self.origin, self._hw, self._block = origin, hw, hw.block
        self._nodes = {node_label(n): n for n in model.graph}
        self._inputs = {value.name or "": shape_of(value) for value in model.graph.inputs if value.consumers()}

    def parsed(self, text: str | None) -> Any:
        """JSON without a key twice, and without NaN."""

        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for name, value in pairs:
                if name in found:
                    self._refuse(f"{name!r} is there twice; say it once")
                found[name] = value
            return found

        def constant(name: str) -> NoReturn:
            self._refuse(f"{name} is no number of a block")

        try:
            return json.loads(text or "", object_pairs_hook=unique, parse_constant=constant)
        except (ValueError, RecursionError) as e:
            self._refuse(f"it is not JSON: {e}")

    def masks(self, found: Any) -> TaskMasks:
        """The masks that a JSON value says."""
        chosen_by: Any = ""
        if isinstance(found, Mapping) and {"block", "tasks"} <= set(found) <= {"block", "input", "tasks"}:
            self._block, chosen_by = self._size(found["block"]), found.get("input", "")
            found = found["tasks"]
        if not isinstance(found, Mapping) or not found:
            self._refuse(f"it must be {_FORM} with a task or more, found {_shown(found)}")
        if len(found) > MAX_TASKS:
            self._refuse(f"it has {len(found)} tasks; a program has {MAX_TASKS} at most")
        channels = {self._name(task): self._task(task, masks) for task, masks in found.items()}
        return TaskMasks(channels, self.origin, "" if chosen_by == "" else self._input(chosen_by, len(channels)))

    def _input(self, name: Any, tasks: int) -> str:
        if not isinstance(name, str) or name not in self._inputs:
            self._refuse(f"'input' is {_shown(name)}; the inputs that the model reads are {', '.join(self._inputs)}")
        size = int(np.prod(self._inputs[name]))
        if size != tasks:
            self._refuse(f"'input' {name!r} has {size} numbers for {tasks} tasks; it must have one for each")
        return name

    def _size(self, value: Any) -> int:
        b = self._hw.block
        if not isinstance(value, int) or isinstance(value, bool) or value < 1 or value % b:
            self._refuse(
                f"'block' is {_shown(value)}, but a block of '{self._hw.name}' has {b} channels; give a multiple of it"
            )
        return value

    def _name(self, task: Any) -> str:
        if not isinstance(task, str) or not task.strip() or not task.isprintable() or set(task) & set(_RESERVED):
            self._refuse(f"task {_shown(task)}: a name is of printable characters, without {' '.join(_RESERVED)}")
        if len(task) > MAX_NAME:
            self._refuse(f"task {_shown(task)}: its name has {len(task)} characters; the limit is {MAX_NAME}")
        if task == DENSE:
            self._refuse(f"task '{task}': so is called what has everything live; call it otherwise")
        return task

    def _task(self, task: str, masks: Any) -> dict[str, NDArray[np.bool_]]:
        if not isinstance(masks, Mapping):
            self._refuse(f"task '{task}' must be an object of convolutions, found {_shown(masks)}")
        return {name: self._channels(f"task '{task}', node {name!r}", name, blocks) for name, blocks in masks.items()}

    def _channels(self, where: str, name: str, blocks: Any) -> NDArray[np.bool_]:
        node = self._nodes.get(name)
        if node is None:
            convs = [label for label, n in self._nodes.items() if n.op_type == "Conv"]
            text = did_you_mean(name, convs, f"Its convolutions are {', '.join(convs[:8]) or 'none'}.")
            self._refuse(f"{where}: the model has no such node.{text}")
        if node.op_type != "Conv":
            self._refuse(f"{where}: it is a {node.op_type}; masks are of Conv nodes")
        group, count = int(attribute(node, "group", 1)), shape_of(node.outputs[0])[1]
        if group != 1:
            self._refuse(f"{where}: it has {group} groups; mask the convolutions of one group around it")
        if not isinstance(blocks, list | tuple):
            self._refuse(f"{where}: it must be a list of blocks, found {_shown(blocks)}")
        live, last = np.zeros(count, np.bool_), -(-count // self._block) - 1
        for block in blocks:
            if not isinstance(block, int) or isinstance(block, bool):
                self._refuse(f"{where}: a block is a whole number, found {_shown(block)}")
            if not 0 <= block <= last:
                text = f"its {count} channels are blocks 0 to {last} of {self._block}"
                self._refuse(f"{where}: block {block} does not exist; {text}")
            if live[block * self._block]:
                self._refuse(f"{where}: block {block} is listed twice")
            live[block * self._block : (block + 1) * self._block] = True
        return live

    def _refuse(self, text: str) -> NoReturn:
        raise ModelError(f"{self.origin}: {text}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
