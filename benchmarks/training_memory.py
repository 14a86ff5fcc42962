"""What it brings that training keeps its memory (`vla_training.allocator`): seconds and page faults of a step.

    python benchmarks/training_memory.py [--steps N] [--episodes N] [--json FILE]

The rover's policy is trained on runs collected here, without and with it, in processes of their own that take turns;
validation is left out. Steps are those behind the first ten.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prepare import count, machine

_TURNS, _FIRST = 2, 10


def train(data: Path, steps: int, keeps: bool) -> dict[str, float]:
    """Seconds, of them the system's, and page faults of a step; GiB of the process."""
    from vla_training.allocator import keep_memory
    from vla_training.config.load import load_config
    from vla_training.loop import train as run

    if keeps and not keep_memory():
        raise SystemExit("this C library cannot be told to keep memory")
    every = ["--steps", str(steps + _FIRST), "--validate-every", "100000", "--save-every", "100000"]
    marks = []

    def note(step: int, _: Any) -> None:
        if step in (_FIRST, _FIRST + steps):
            used = resource.getrusage(resource.RUSAGE_SELF)
            marks.append((time.perf_counter(), used.ru_stime, used.ru_minflt, used.ru_maxrss / 2**20))

    with tempfile.TemporaryDirectory() as folder:
        run(load_config("rover_sim_v0", every), data, Path(folder) / "run", stop_after=_FIRST + steps, progress=note)
    (began, system, faults, _), (ended, system_end, faults_end, most) = marks
    each = {"seconds": ended - began, "system": system_end - system, "faults": faults_end - faults}
    return {**{name: value / steps for name, value in each.items()}, "GiB": most}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=count, default=20, help="that are measured")
    parser.add_argument("--episodes", type=count, default=40)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--one", choices=("without", "with"), help="this alone, on --data; writes its figures as JSON")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(train(args.data, args.steps, args.one == "with")))
        return 0
    rows: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rover"
        collect = ["-m", "vla_datasets", "rover", "--episodes", str(args.episodes), "--out", str(data)]
        subprocess.run([sys.executable, *collect], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(_TURNS):
            for name, found in rows.items():
                one = [sys.executable, __file__, "--one", name, "--data", str(data), "--steps", str(args.steps)]
                found.append(json.loads(subprocess.run(one, check=True, capture_output=True).stdout.splitlines()[-1]))
    print(f"{'memory kept':12s}{'s a step':>10s}{'system s':>10s}{'faults':>10s}{'GiB':>7s}")
    for name, found in rows.items():
        best = min(found, key=lambda row: row["seconds"])
        print(f"{name:12s}{best['seconds']:10.3f}{best['system']:10.3f}{best['faults']:10,.0f}{best['GiB']:7.2f}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
