"""Puts trained drivers here, for `make demo-driving`: the newest weights of two runs, and where they come from.

vla-collect driving --level mixed+pushed --episodes 100 --out data/drive --seed 0
vla-train train --config driving_tiles --data data/drive --out runs/dense
vla-train train --config driving_gated --data data/drive --out runs/gated --init-from runs/dense
python examples/driving/ship.py runs/dense runs/gated
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from vla_training.checkpoint import pretrained_folder

MOST_BYTES = 5_000_000  # of everything: it is in the repository
HERE = Path(__file__).parent


def main() -> int:
    """Copy both policies and write provenance.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense", type=Path, help="run of driving_tiles")
    parser.add_argument("gated", type=Path, help="run of driving_gated")
    arguments = parser.parse_args()
    runs = {"dense": arguments.dense, "gated": arguments.gated}
    size = sum(file.stat().st_size for run in runs.values() for file in pretrained_folder(run).iterdir())
    if size > MOST_BYTES:
        sys.exit(f"the policies have {size:,} bytes; at most {MOST_BYTES:,} may be here")
    provenance = {}
    for name, run in runs.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(pretrained_folder(run), HERE / name)
        config = json.loads((run / "config.json").read_text())
        last = json.loads((run / "train.jsonl").read_text().splitlines()[-1])
        provenance[name] = {"config": config | {"init_from": "dense" if config["init_from"] else ""}, "last": last}
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
    print(f"{HERE}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
