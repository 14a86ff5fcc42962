"""RDT in its published sizes, with random weights: exported, compiled, and how long a chunk takes by the model.

    python benchmarks/rdt_shapes.py [--shapes 170m,1b] [--config NAME] [--steps N] [--folder DIR] [--json FILE]

A chunk is the whole policy behind its towers: adaptors, keys and values of 1,024 tokens of language (4,096 wide) and of
6 pictures of 729 (1,152 wide), then all steps of DPM-Solver++ over 67 tokens, in a loop (`sampler_loop`). Export and
compile are processes of their own, whose processor time and largest memory are measured; what they write is in DIR
(1b: 5 GB and 1.3 GB).

A step of the sampler is the third round. The roofline is the larger of its products at the machine's peak and its bytes
(weights, keys and values, each read once) at one beat a cycle of every master.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from prepare import count, machine, names_of
from stages import compile_folder, export_graph, loop_cycles, measured

from vla_isa import hardware, image

SHAPES = {"170m": (1024, 14, 32), "1b": (2048, 28, 32), "small": (64, 2, 4)}  # width, depth, heads
LANGUAGE, PICTURES = (1024, 4096), (6 * 729, 1152)
ROWS, SLOTS = 67, 128


def export(shape: str, steps: int, folder: Path) -> None:
    """model.onnx, with its weights beside it, and frame.npz, one random frame of its inputs."""
    import torch

    from vla_models.rdt.config import RdtConfig
    from vla_models.rdt.model import Rdt

    width, depth, heads = SHAPES[shape]
    torch.manual_seed(0)
    config = RdtConfig(
        width=width,
        depth=depth,
        heads=heads,
        sampler_steps=steps,
        cameras=("top", "right_wrist", "left_wrist"),
        history=2,
        execute=1,
        channels=(),
        language_tokens=LANGUAGE[0],
        language_width=LANGUAGE[1],
        sampler_loop=True,
    )
    policy = Rdt(config).eval()
    torch.nn.init.normal_(policy.out[-1].weight, std=width**-0.5)  # it begins with zeros
    (graph,) = policy.graphs()
    export_graph(graph, folder)


def roofline(shape: str, config: str) -> tuple[int, int, int]:
    """Of a step: multiply-accumulates, cycles of them at the peak, and cycles of the bytes that it must read."""
    width, depth, _ = SHAPES[shape]
    keys = [LANGUAGE[0] if block % 2 == 0 else PICTURES[0] for block in range(depth)]
    weights = depth * 8 * width**2 + width * (2 * SLOTS + 3 * width)
    macs = ROWS * weights + sum(2 * ROWS * width * (ROWS + k) for k in keys)
    machine_ = hardware.load(config)
    read = weights + sum(2 * width * k for k in keys)
    return macs, -(-macs // machine_.macs_per_cycle), -(-read // (32 * machine_.weight_masters))


def measure(shape: str, config: str, steps: int, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    at = ("--folder", str(folder), "--config", config)
    export_seconds, export_gib = measured(__file__, "export", *at, "--shapes", shape, "--steps", str(steps))
    compile_seconds, compile_gib = measured(__file__, "compile", *at)
    chunk, step = loop_cycles(image.load(folder / "program.bin"), steps)
    macs, products, bytes_ = roofline(shape, config)
    return {
        "shape": shape,
        "config": config,
        "steps": steps,
        "export": {"seconds": export_seconds, "GiB": export_gib},
        "compile": {"seconds": compile_seconds, "GiB": compile_gib},
        "chunk_cycles": chunk,
        "step_cycles": step,
        "step_macs": macs,
        "roofline": max(products, bytes_),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=names_of(SHAPES), default="170m,1b", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--config", default="u50")
    parser.add_argument("--steps", type=count, default=5, help="of the sampler, at least 4")
    parser.add_argument("--folder", type=Path, help="where files stay; a temporary one otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--stage", choices=("export", "compile"), help="do this alone, in --folder")
    args = parser.parse_args()
    if args.steps < 4:
        parser.error(f"--steps is {args.steps}; the compiler makes a loop of at least 4")
    if args.stage == "export":
        export(args.shapes[0], args.steps, args.folder)
        return 0
    if args.stage == "compile":
        compile_folder(args.config, args.folder)
        return 0
    rows = []
    print(
        f"{'shape':8s}{'export':>16s}{'compile':>16s}{'chunk':>14s}{'step':>12s}{'GMAC':>8s}{'roofline':>12s}{'used':>8s}"
    )
    for shape in args.shapes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = args.folder or Path(temporary)
            row = measure(shape, args.config, args.steps, folder)
        rows.append(row)
        spent = "".join(f"{row[s]['seconds']:7.0f} s{row[s]['GiB']:5.1f} G" for s in ("export", "compile"))
        print(
            f"{shape:8s}{spent}{row['chunk_cycles']:14,d}{row['step_cycles']:12,d}{row['step_macs'] / 1e9:8.2f}"
            f"{row['roofline']:12,d}{row['roofline'] / row['step_cycles']:8.1%}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
