r"""Puts trained drivers here, for `make demo-driving`: the newest weights of two runs, and where they come from.

vla-collect driving --level mixed+pushed --episodes 100 --out data/drive --seed 0
vla-train train --config driving_tiles --data data/drive --out runs/dense
vla-train train --config driving_gated --data data/drive --out runs/gated_first --init-from runs/dense
vla-train train --config driving_gated --data data/drive --out runs/gated --init-from runs/gated_first --steps 3000 \
    --learning-rate 2e-4 --objective-options.tile-budget 0.645 --objective-options.budget-from 0.3
python examples/driving/ship.py dense=runs/dense gated=runs/gated
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
NAMES = ("dense", "gated")


def main() -> int:
    """Copy the policies of these runs and write where they come from to provenance.json; what is not named stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help=f"{' or '.join(NAMES)}, and its run")
    given = [run.partition("=")[::2] for run in parser.parse_args().runs]
    if not {name for name, _ in given} <= set(NAMES):
        parser.error(f"each must be {' or '.join(f'{name}=RUN' for name in NAMES)}")
    runs = {name: Path(run) for name, run in given}
    folders = [pretrained_folder(runs[name]) if name in runs else HERE / name for name in NAMES]
    size = sum(file.stat().st_size for folder in folders for file in folder.iterdir())
    if size > MOST_BYTES:
        sys.exit(f"the policies have {size:,} bytes; at most {MOST_BYTES:,} may be here")
    provenance = json.loads((HERE / "provenance.json").read_text())
    for name, run in runs.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(pretrained_folder(run), HERE / name)
        config = json.loads((run / "config.json").read_text())
        last = json.loads((run / "train.jsonl").read_text().splitlines()[-1])
        provenance[name] = {"config": config | {"init_from": Path(config["init_from"]).name}, "last": last}
    (HERE / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n")
    print(f"{HERE}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
