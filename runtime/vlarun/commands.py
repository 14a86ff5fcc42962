"""What the commands of `vlarun` do. Each takes the parsed arguments and returns the exit code.

Not here: arguments (`cli.py`), error messages (`vla_isa.command_line`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import bundle
from vla_isa.errors import BadUsageError
from vla_isa.files import check_writable
from vlarun import files
from vlarun.backends import Backend, create
from vlarun.backends.rtl_library import header
from vlarun.compare import compare as first_difference
from vlarun.inputs import check_inputs, to_integers
from vlarun.parts import check_reals, compare_parts, open_session
from vlarun.session import load_program
from vlarun.stats import summary

__all__ = ["compare", "conformance", "run"]

_SHOWN = 16  # values of an output that are printed in full


def run(args: argparse.Namespace) -> int:
    """vlarun run."""
    _check_places(args)
    if args.backend == "ref" and args.entry:
        raise BadUsageError("--entry is a place in the program; --backend ref runs the whole ONNX model")
    backend = create(args.backend, onnx=args.onnx, library=args.library)
    session = open_session(args.program, backend, config=args.config, check=args.check)
    outputs = session.run(files.read_arrays(args.input), raw=args.raw, entry=args.entry)
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
    loaded = bundle.load(args.program)
    if isinstance(loaded, bundle.Bundle):
        return _compare_bundle(args, loaded, (a, b))
    program = load_program(loaded, args.config)
    batch = check_inputs(program, files.read_arrays(args.input))
    result: dict[str, Any] = {"backends": names, "runs": batch.runs, "equal": True}
    for number, arrays in enumerate(batch.items()):
        difference = first_difference(program, (a, b), to_integers(program, arrays), args.entry)
        if difference is not None:
            message = f"run {number}: {difference.message((names[0], names[1]))}"
            result |= {"equal": False, "difference": message}
            break
    if args.json:
        print(json.dumps(result))
    elif result["equal"]:
        print(f"{names[0]} and {names[1]} agree on {batch.runs} run(s)")
    else:
        print(result["difference"])
    return 0 if result["equal"] else 1


def _compare_bundle(args: argparse.Namespace, program: bundle.Bundle, backends: tuple[Backend, Backend]) -> int:
    """Part by part: every run of every device part on both."""
    if args.entry is not None:
        raise BadUsageError("a program with host parts has no entry points; leave out --entry")
    for part in program.programs:
        load_program(part, args.config)
    arrays, batched = check_reals(program.inputs, files.read_arrays(args.input))
    runs = max(batched.values(), default=1)
    difference = None
    for i in range(runs):
        found = compare_parts(program, backends, {k: v[i : i + 1] if k in batched else v for k, v in arrays.items()})
        if found is not None:
            difference = f"run {i}: {found}"
            break
    names = [b.name for b in backends]
    if args.json:
        print(json.dumps({"backends": names, "runs": runs, "equal": difference is None, "difference": difference}))
    else:
        print(difference or f"{names[0]} and {names[1]} agree on {runs} run(s)")
    return 0 if difference is None else 1


def conformance(args: argparse.Namespace) -> int:
    """vlarun conformance."""
    if args.show_header:
        print(header())
        return 0
    from vlarun.conformance import runner  # only this command needs the reference

    suites = tuple(args.suite.split(","))
    if args.programs is not None and "T2" not in suites:
        raise BadUsageError(f"--programs is of suite T2, which is not in '{args.suite}'")
    if args.json:
        check_writable(args.json)
    outcome = runner.run(
        runner.Choice(
            backend=args.backend,
            config=args.config,
            suites=suites,
            stalls=args.stalls,
            programs=args.programs or runner.PROGRAMS,
            seed=args.seed,
            match=args.match,
            checked=args.checked,
            library=args.library,
        )
    )
    if args.json:
        files.write_json(args.json, outcome.to_dict())
    runner.show(outcome)
    return 0 if outcome.passed else 1
