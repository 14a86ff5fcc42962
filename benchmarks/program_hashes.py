"""Which programs a change of the compiler changes: hashes of the programs of benchmark networks and conformance graphs.

    python benchmarks/program_hashes.py --write before.json      # on the tree before
    python benchmarks/program_hashes.py --compare before.json    # on the tree after; exit code 1 where one differs

The networks are compiled for `u50`, the graphs of the conformance kit for `tiny`; `--quick` leaves out the networks of
more than 20 million parameters. Equal hashes are equal files: packets, constants, weights, names and signature.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import graphs
import networks
import onnx
from prepare import compile_graph

from vla_isa import hardware, image
from vla_isa.program import Program
from vla_toolchain.conformance import graph_cases
from vlac import CompileOptions, compile_model

LARGE = ("vgg11", "resnet50")


def main() -> int:
    """0: written, or nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the hashes to a JSON file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="name the programs whose hash is another there")
    parser.add_argument("--quick", action="store_true", help=f"without {', '.join(LARGE)}")
    parser.add_argument("--match", default="", help="only programs whose name contains this")
    args = parser.parse_args()
    hashes = dict(_hashes(args.match, LARGE if args.quick else ()))
    if args.write:
        args.write.write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    if not args.compare:
        return 0
    before = json.loads(args.compare.read_text(encoding="utf-8"))
    changed = [name for name, digest in hashes.items() if before.get(name) != digest]
    print(f"{len(hashes)} programs, {len(changed)} differ: {', '.join(changed) or 'none'}")
    return int(bool(changed))


def _hashes(match: str, without: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in graphs.GRAPHS:
        for config in ("u50", "u50-2port"):
            if match in f"{name} {config}":
                yield f"{name} {config}", _digest(compile_graph(name, config))
    for name, build in networks.NETWORKS.items():
        if match in name and name not in without:
            yield name, _digest(_network(build()))
    for case in graph_cases.cases(hardware.load("tiny"), match):
        yield case.id, _digest(case.program)


def _network(model: onnx.ModelProto) -> Program:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return compile_model(path, hardware.load("u50"), CompileOptions(calibration="random:2"))


def _digest(program: Program) -> str:
    return hashlib.sha256(image.dumps(program)).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
