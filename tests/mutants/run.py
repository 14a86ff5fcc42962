"""Apply each one-line fault of faults.toml to a copy of the tree and demand that its test fails.

`make mutants` runs it; CI does not. A fault that no test catches, or whose line is no longer there once,
makes the run fail. The copy shares nothing with the checkout but the Python environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("isa", "compiler", "runtime", "models", "datasets", "training")


def caught(fault: dict[str, str], tree: Path) -> tuple[bool, str]:
    """Break one line in `tree`, run the fault's test there, restore the line."""
    path = tree / fault["file"]
    original = path.read_text(encoding="utf-8")
    if original.count(fault["line"]) != 1:
        return False, f"the line is there {original.count(fault['line'])} times, not once: {fault['line']}"
    path.write_text(original.replace(fault["line"], fault["fault"]), encoding="utf-8")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(str(tree / p) for p in PACKAGES))
    try:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *fault["test"].split()],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
    finally:
        path.write_text(original, encoding="utf-8")
    if run.returncode not in (0, 1):  # 1: tests failed; anything else did not test
        return False, f"pytest ended with {run.returncode}: {run.stdout[-500:]}"
    return run.returncode == 1, "" if run.returncode else "no test failed"


def main() -> int:
    """Run all faults, or those whose name contains the first argument."""
    faults = tomllib.loads((Path(__file__).parent / "faults.toml").read_text(encoding="utf-8"))["faults"]
    wanted = [f for f in faults if not sys.argv[1:] or sys.argv[1] in f["name"]]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".*_cache", "sim_build")
        )
        for i, fault in enumerate(wanted, 1):
            ok, why = caught(fault, tree)
            survivors += not ok
            print(f"[{i}/{len(wanted)}] {'caught  ' if ok else 'SURVIVED'} {fault['name']} {why}", flush=True)
    print(f"{len(wanted) - survivors} of {len(wanted)} faults caught")
    return int(survivors > 0)


if __name__ == "__main__":
    raise SystemExit(main())
