"""Compile options: how to compile, as against what to compile for (`vla_isa.hardware.HardwareConfig`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from vla_isa.errors import check_type
from vla_isa.generated.codes import Rounding

__all__ = ["ACTIVATIONS", "CALIBRATION_METHODS", "PERCENTILE", "ROUNDING_NAMES", "CompileOptions"]

CALIBRATION_METHODS = ("minmax", "percentile", "entropy", "mse")
ACTIVATIONS = ("int8", "int16")  # the default first
PERCENTILE = 99.999
ROUNDING_NAMES = tuple(mode.name.lower().replace("_", "-") for mode in Rounding)  # the default first


@dataclass(frozen=True)
class CompileOptions:
    """What the command line of `vlac compile` sets.

    Attributes:
        calibration: an .npz file, a folder of them, `random` or `random:N`, a mapping of input names to arrays, or a
            sequence of such mappings; None for QDQ models.
        calibration_method: how ranges are chosen from what was observed (see `quantize/ranges.py`).
        percentile: share of values, in percent, that the range of method "percentile" keeps.
        activations: of a float model, what layers with constant weights read: "int8", or "int16", which takes them
            twice the time (see `lowering/matrix_layer.py`).
        equalize: scale channels between layers of a float model before calibration (cross-layer equalization).
        bias_correction: move biases by the mean error that rounding the weights makes.
        rounding: how results of a quantized model are rounded (see `quantize/rounding.py`); None: as the model says.
        allow_host: run nodes that the machine cannot take in ONNX Runtime, between device partitions.
        debug_outputs: make every tensor of the device an output of the program, for node by node comparison.
        input_shapes: sizes of inputs that are dynamic in the model.
        batch: first size of the other inputs, where that is dynamic in the model.
        carry: inputs that are, in the next run, an output of this one, with that output.
        repeat: how many runs of the model, which hand the carried state on, one run of the program is;
            calibration data is of the first of them.
        counter: the input that is the number of the run in these, 0, 1, ...
        constants: values of inputs, by name, that are known at compile time and no inputs of the program. Their bytes
            are those of a program that gets them as inputs. Calibration data holds these inputs too.
        task_masks: a JSON file, or what it would hold: which output blocks of which convolutions a task uses
            (see `model/task_masks.py`); each task is an entry point. None: what the model's metadata says.
        dump_after: pass name -> file that gets the state after this pass.
        keep_float: whether the compilation keeps the float model, for verification, the loss report and `layer_losses`;
            a large model takes less memory without it.
        check: verify the device graph after every pass, for whoever changes the compiler; so does `VLAC_CHECK=1` in
            the environment.

    Raises:
        TypeError: an argument is of another type.
    """

    calibration: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    calibration_method: str = "minmax"
    percentile: float = PERCENTILE
    activations: str = ACTIVATIONS[0]
    equalize: bool = False
    bias_correction: bool = False
    rounding: str | None = None
    allow_host: bool = False
    debug_outputs: bool = False
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    carry: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 1
    counter: str | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    task_masks: str | Path | Mapping[str, Any] | None = None
    dump_after: Mapping[str, Path] = field(default_factory=dict)
    keep_float: bool = True
    check: bool = False

    @property
    def checks(self) -> bool:
        """`check`, or what the environment says."""
        return self.check or os.environ.get("VLAC_CHECK", "0") != "0"

    def __post_init__(self) -> None:
        check_type("percentile", self.percentile, "a number", Real)
        check_type("rounding", self.rounding, "a string or None", str, type(None))
        check_type("input_shapes", self.input_shapes, "a mapping of input names to sizes", Mapping)
        for name, shape in self.input_shapes.items():
            check_type(f"input_shapes[{name!r}]", shape, "a sequence of sizes", tuple, list)
        check_type("batch", self.batch, "a whole number or None", Integral, type(None))
        check_type("carry", self.carry, "a mapping of input names to output names", Mapping)
        check_type("repeat", self.repeat, "a whole number", Integral)
        check_type("counter", self.counter, "a string or None", str, type(None))
        check_type("constants", self.constants, "a mapping of input names to arrays", Mapping)
        check_type("task_masks", self.task_masks, "a file, a mapping or None", str, Path, Mapping, type(None))
        check_type("dump_after", self.dump_after, "a mapping of pass names to files", Mapping)
