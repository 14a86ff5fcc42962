"""What the commands of `vlarun` do. Each takes the parsed arguments and returns the exit code.

Not here: conformance and the arguments (`vla_toolchain`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import package
from vla_isa.errors import BadUsageError, InputError
from vla_isa.files import check_writable
from vla_isa.input_arrays import read_npz, read_runs
from vla_isa.program import Program
from vlarun import files
from vlarun.backends import Backend, create
from vlarun.compare import compare as first_difference
from vlarun.inputs import check_inputs, to_integers, wanted_inputs
from vlarun.partitions import compare_partitions, open_session, unused_inputs
from vlarun.session import Session, load_program
from vlarun.stats import summary

__all__ = ["compare", "run"]

_SHOWN = 16  # values of an output that are printed in full


def run(args: argparse.Namespace) -> int:
    """vlarun run."""
    _check_places(args)
    if args.backend == "ref" and args.entry:
        raise BadUsageError("--entry is a place in the program; --backend ref runs the whole ONNX model")
    backend = create(args.backend, onnx=args.onnx, library=args.library)
    session = open_session(args.program, backend, config=args.config, check=args.check)
    wanted = session.wanted_inputs(args.raw_input, args.entry)
    with _naming_entry(session.program if isinstance(session, Session) else session.package, args.entry):
        arrays = read_npz(args.input, *wanted)
    outputs = session.run(arrays, raw=args.raw, entry=args.entry, raw_input=args.raw_input)
    stats = session.stats if args.stats or args.json or args.backend != "ref" else None
    trace = session.trace if args.trace else None
    if args.output:
        files.write_arrays(args.output, outputs)
    if args.stats:
        files.write_json(args.stats, stats)
    if args.trace:
        files.write_json(args.trace, trace)
    if args.json:
        print(json.dumps(stats))
        return 0
    _print_outputs(outputs, args.output)
    if stats is not None:
        print(summary(stats))
    return 0


@contextlib.contextmanager
def _naming_entry(program: Program | package.Package, entry: str | None) -> Iterator[None]:
    """Say which of several graphs refuses the inputs, and that there are others."""
    try:
        yield
    except InputError as error:
        if isinstance(program, package.Package) or not program.others:
            raise
        names = list(program.entries)
        one = entry or names[0]
        others = ", ".join(name for name in names if name != one)
        raise InputError(f"entry point '{one}' (--entry; also {others}): {error}") from error


def _check_places(args: argparse.Namespace) -> None:
    """Refuse places that cannot be written, or that are one another or something that is read."""
    taken = {p.resolve(): "is read" for p in (args.program, args.input, args.onnx, args.library) if p is not None}
    for path in (args.output, args.stats, args.trace):
        if path is not None:
            check_writable(path)
            if path.resolve() in taken:
                raise BadUsageError(f"output '{path}' {taken[path.resolve()]} too; give each file its own place")
            taken[path.resolve()] = "is another output"


def _print_outputs(outputs: Mapping[str, NDArray[Any]], place: Path | None) -> None:
    """What came out: of small outputs every number, of large ones the range."""
    for name, array in outputs.items():
        head = f"{name} {array.dtype} {list(array.shape)}"
        if place is not None:
            print(f"{head} -> {place}")
        elif array.size <= _SHOWN:
            print(f"{head}: {' '.join(f'{v:.6g}' for v in array.reshape(-1).tolist())}")
        else:
            print(
                f"{head}: min {array.min():.6g}, max {array.max():.6g}, mean {array.mean(dtype=np.float64):.6g}"
                " (--output FILE.npz writes all)"
            )


def compare(args: argparse.Namespace) -> int:
    """vlarun compare."""
    names = tuple(args.backends.split(","))
    if len(names) != 2 or names[0] == names[1]:
        raise BadUsageError(f"--backends takes two different names, for example sim,rtl; found '{args.backends}'")
    for option, given, name in (("--library", args.library, "rtl"), ("--onnx", args.onnx, "ref")):
        if given and name not in names:
            raise BadUsageError(f"{option} is for backend {name}, which is not in '{args.backends}'")
    a, b = (
        create(name, onnx=args.onnx if name == "ref" else None, library=args.library if name == "rtl" else None)
        for name in names
    )
    loaded = package.load(args.program)
    if isinstance(loaded, package.Package):
        return _compare_package(args, loaded, (a, b))
    whole = load_program(loaded, args.config)
    program = whole.at(args.entry)
    with _naming_entry(program, args.entry):
        given = read_npz(args.input, *wanted_inputs(program, args.raw_input))
    batch = check_inputs(program, given, args.raw_input)
    result: dict[str, Any] = {"backends": names, "runs": batch.count, "equal": True}
    for number, arrays in enumerate(batch.items()):
        integers = arrays if args.raw_input else to_integers(program, arrays)
        difference = first_difference(whole, (a, b), integers, args.entry)
        if difference is not None:
            message = f"run {number}: {difference.message((names[0], names[1]))}"
            result |= {"equal": False, "difference": message}
            break
    if args.json:
        print(json.dumps(result))
    elif result["equal"]:
        print(f"{names[0]} and {names[1]} agree on {batch.count} run(s)")
    else:
        print(result["difference"])
    return 0 if result["equal"] else 1


def _compare_package(args: argparse.Namespace, program: package.Package, backends: tuple[Backend, Backend]) -> int:
    """Part by part: every run of every device partition on both."""
    if args.entry is not None:
        raise BadUsageError("a program with host partitions has no entry points; leave out --entry")
    for part in program.programs:
        load_program(part, args.config)
    if args.raw_input:
        raise BadUsageError("a program with host partitions takes real inputs only; leave out --raw-input")
    optional = unused_inputs(program)
    batch = read_runs(program.inputs, read_npz(args.input, program.inputs, optional), optional)
    runs, difference = batch.count, None
    for i, arrays in enumerate(batch.items()):
        found = compare_partitions(program, backends, arrays)
        if found is not None:
            difference = f"run {i}: {found}"
            break
    names = [b.name for b in backends]
    if args.json:
        print(json.dumps({"backends": names, "runs": runs, "equal": difference is None, "difference": difference}))
    else:
        print(difference or f"{names[0]} and {names[1]} agree on {runs} run(s)")
    return 0 if difference is None else 1
