"""The `vlarun` command: run a program, compare two backends, check a backend's conformance.

Exit codes: 0 fine, 1 refused with a reason or a difference found, 2 bad usage. Messages go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_isa import bundle
from vla_isa.errors import BadUsageError, VlaError
from vla_isa.input_arrays import read_npz, read_runs
from vlarun import files
from vlarun.backends import Backend, create
from vlarun.backends.rtl_library import header
from vlarun.compare import compare
from vlarun.inputs import check_inputs, to_integers, wanted_inputs
from vlarun.parts import compare_parts, open_session, unused_inputs
from vlarun.session import load_program
from vlarun.stats import summary

__all__ = ["main"]

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, tuple[argparse.ArgumentParser, Command]] = {
        "compare": (_compare_parser(), _compare),
        "conformance": (_conformance_parser(), _conformance),
    }
    parser: argparse.ArgumentParser = _run_parser()
    command: Command = _run
    if arguments and arguments[0] in commands:
        parser, command = commands[arguments.pop(0)]
    try:
        return command(parser.parse_args(arguments))
    except SystemExit as e:  # argparse has printed what is wrong, or the help
        return e.code if isinstance(e.code, int) else 2
    except VlaError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: not enough memory on this machine to run the program", file=sys.stderr)
        return 1


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=name, description=text, allow_abbrev=False)


def _run_parser() -> argparse.ArgumentParser:
    p = _parser("vlarun", "Run a program. Also: vlarun compare, vlarun conformance (each with --help).")
    p.add_argument("program", type=Path, help="what `vlac compile` wrote")
    p.add_argument("--input", type=Path, required=True, metavar="IN.npz", help="arrays by ONNX input name")
    p.add_argument("--output", type=Path, metavar="OUT.npz", help="write the outputs here (default: print a summary)")
    p.add_argument("--backend", default="sim", help="sim (default), rtl or ref")
    p.add_argument("--entry", metavar="TASK", help="entry point (default: the first)")
    p.add_argument("--config", metavar="NAME", help="refuse a program for another hardware config")
    p.add_argument("--onnx", type=Path, metavar="MODEL.onnx", help="the model that --backend ref runs")
    p.add_argument("--library", type=Path, metavar="MACHINE.so", help="your machine for --backend rtl (vla_api.h)")
    p.add_argument("--check", action="store_true", help="run the hazard checker first")
    p.add_argument("--raw", action="store_true", help="outputs as the device's int8")
    p.add_argument("--raw-input", action="store_true", help="inputs are the device's int8, by its own input names")
    p.add_argument("--stats", type=Path, metavar="FILE.json", help="write cycles, traffic and instructions here")
    p.add_argument("--trace", type=Path, metavar="FILE.json", help="write a Chrome trace of the queues here")
    p.add_argument("--json", action="store_true", help="print the statistics as JSON")
    return p


def _run(args: argparse.Namespace) -> int:
    for path in (args.output, args.stats, args.trace):
        if path is not None:
            files.check_writable(path)
    backend = create(args.backend, onnx=args.onnx, library=args.library)
    session = open_session(args.program, backend, config=args.config, check=args.check)
    arrays = read_npz(args.input, *session.wanted_inputs(args.raw_input))
    outputs = session.run(arrays, raw=args.raw, entry=args.entry, raw_input=args.raw_input)
    stats = session.stats if args.stats or args.json else None
    trace = session.trace if args.trace else None
    if args.output:
        files.write_arrays(args.output, outputs)
    if args.stats:
        files.write_json(args.stats, stats)
    if args.trace:
        files.write_json(args.trace, trace)
    if args.json:
        print(json.dumps(stats))
    elif not args.output:
        for name, array in outputs.items():
            print(
                f"{name} {array.dtype} {list(array.shape)}: min {array.min():.6g}, max {array.max():.6g}, "
                f"mean {array.mean(dtype=np.float64):.6g}"
            )
    if stats is not None and not args.json:
        print(summary(stats))
    return 0


def _compare_parser() -> argparse.ArgumentParser:
    p = _parser("vlarun compare", "Run two backends on one input and report the first difference.")
    p.add_argument("program", type=Path)
    p.add_argument("--input", type=Path, required=True, metavar="IN.npz")
    p.add_argument("--backends", default="sim,rtl", metavar="A,B", help="which two (default: sim,rtl)")
    p.add_argument("--entry", metavar="TASK")
    p.add_argument("--config", metavar="NAME")
    p.add_argument("--raw-input", action="store_true", help="inputs are the device's int8, by its own input names")
    p.add_argument("--onnx", type=Path, metavar="MODEL.onnx")
    p.add_argument("--library", type=Path, metavar="MACHINE.so", help="your machine as rtl (vla_api.h)")
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    return p


def _compare(args: argparse.Namespace) -> int:
    names = tuple(args.backends.split(","))
    if len(names) != 2:
        raise BadUsageError(f"--backends takes two names, for example sim,rtl; found '{args.backends}'")
    if args.library and "rtl" not in names:
        raise BadUsageError(f"--library is a machine for backend rtl, which is not in '{args.backends}'")
    a, b = (create(name, onnx=args.onnx, library=args.library if name == "rtl" else None) for name in names)
    loaded = bundle.load(args.program)
    if isinstance(loaded, bundle.Bundle):
        return _compare_bundle(args, loaded, (a, b))
    program = load_program(loaded, args.config)
    given = read_npz(args.input, *wanted_inputs(program, args.raw_input))
    batch = check_inputs(program, given, args.raw_input)
    result: dict[str, Any] = {"backends": names, "runs": batch.count, "equal": True}
    for number, arrays in enumerate(batch.items()):
        integers = arrays if args.raw_input else to_integers(program, arrays)
        difference = compare(program, (a, b), integers, args.entry)
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


def _compare_bundle(args: argparse.Namespace, program: bundle.Bundle, backends: tuple[Backend, Backend]) -> int:
    """Part by part: every run of every device part on both."""
    if args.entry is not None:
        raise BadUsageError("a program with host parts has no entry points; leave out --entry")
    for part in program.programs:
        load_program(part, args.config)
    if args.raw_input:
        raise BadUsageError("a program with host parts takes real inputs only; leave out --raw-input")
    optional = unused_inputs(program)
    batch = read_runs(program.inputs, read_npz(args.input, program.inputs, optional), optional)
    runs, difference = batch.count, None
    for i, arrays in enumerate(batch.items()):
        found = compare_parts(program, backends, arrays)
        if found is not None:
            difference = f"run {i}: {found}"
            break
    names = [b.name for b in backends]
    if args.json:
        print(json.dumps({"backends": names, "runs": runs, "equal": difference is None, "difference": difference}))
    else:
        print(difference or f"{names[0]} and {names[1]} agree on {runs} run(s)")
    return 0 if difference is None else 1


def _conformance_parser() -> argparse.ArgumentParser:
    p = _parser("vlarun conformance", "Check that a backend does what the instruction table says.")
    p.add_argument("--backend", default="sim", help="sim (default) or rtl")
    p.add_argument("--config", default="u50", metavar="NAME", help="hardware config (default: u50)")
    p.add_argument("--library", metavar="MACHINE.so", default="", help="your machine for --backend rtl (vla_api.h)")
    p.add_argument("--show-header", action="store_true", help="print where vla_api.h is, and no more")
    p.add_argument("--suite", default="T0,T1,T2,T3", help="which of T0,T1,T2,T3 (default: all; T3 needs vlac)")
    p.add_argument("--stalls", choices=("off", "random"), default="off", help="memory stalls (rtl)")
    p.add_argument("--programs", type=int, default=50, metavar="N", help="random programs of T2 (default: 50)")
    p.add_argument("--seed", type=int, default=0, help="seed of T2 and of the stalls")
    p.add_argument("--match", default="", metavar="TEXT", help="only cases whose id contains TEXT")
    p.add_argument("--checked", action="store_true", help="rtl with its assertions on")
    p.add_argument("--json", type=Path, metavar="FILE", help="write every case's result here")
    return p


def _conformance(args: argparse.Namespace) -> int:
    from vlarun.conformance import runner  # only this command needs the reference

    if args.show_header:
        print(header())
        return 0
    if args.json:
        files.check_writable(args.json)
    outcome = runner.run(
        runner.Choice(
            backend=args.backend,
            config=args.config,
            suites=tuple(args.suite.split(",")),
            stalls=args.stalls,
            programs=args.programs,
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


if __name__ == "__main__":
    raise SystemExit(main())
