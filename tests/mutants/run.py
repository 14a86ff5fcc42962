"""Break one line at a time in a copy of the tree and demand that a test fails.

    python tests/mutants/run.py                            # the seeded faults of faults.toml, all caught
    python tests/mutants/run.py --automatic 60 --seed 0    # mutants made by mutate.py, at least 90 % caught
    python tests/mutants/run.py --automatic 90 --jobs 2 --under compiler/vlac/rewrite compiler/vlac/quantize

A seeded fault names its test; that test must also pass on the unbroken tree. An automatic mutant runs the
tests that concern its file (suites.py). CI runs neither.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import mutate
import suites
from workspace import ROOT, Verdict, broken, copy_tree, run_tests

FAULTS = Path(__file__).with_name("faults.toml")
WANTED_SHARE = 0.9  # of automatic mutants


@dataclass(frozen=True)
class Result:
    """One broken line and what became of it."""

    name: str
    file: str
    change: str
    caught: bool
    reason: str
    seconds: float


def seeded(fault: dict[str, str], tree: Path) -> Result:
    """Break the fault's line and run its test."""
    start = time.monotonic()
    path, tests = tree / fault["file"], fault["test"].split()
    original = path.read_text(encoding="utf-8")
    count = original.count(fault["line"])
    if count != 1:
        verdict = Verdict("broken", f"the line is there {count} times, not once: {fault['line']}")
    else:
        with broken(path, original.replace(fault["line"], fault["fault"])):
            verdict = run_tests(tree, tests)
    change = f"{fault['line']}  ->  {fault['fault']}"
    seconds = time.monotonic() - start
    return Result(fault["name"], fault["file"], change, verdict.outcome == "failed", verdict.reason, seconds)


def automatic(mutant: mutate.Mutant, tree: Path) -> Result:
    """Break a line and run the suites of its file, the cheapest first, until one fails."""
    start = time.monotonic()
    verdict = Verdict("passed", "")
    if mutant.file.endswith("rtl_build.py"):  # a kept model would hide it
        shutil.rmtree(tree / ".cache", ignore_errors=True)
    with broken(tree / mutant.file, mutant.text):
        for tests in suites.suites_of(mutant.file):
            verdict = run_tests(tree, tests)
            if verdict.outcome != "passed":
                break
    seconds = time.monotonic() - start
    name = f"{mutant.file}:{mutant.line}"
    return Result(name, mutant.file, mutant.change, verdict.outcome == "failed", verdict.reason, seconds)


def main() -> int:
    """0: every seeded fault, or enough automatic mutants, are caught."""
    args = _arguments()
    faults = tomllib.loads(FAULTS.read_text(encoding="utf-8"))["faults"]
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(args.jobs):
            trees.put(copy_tree(Path(folder) / str(number)))
        if args.automatic:
            work = [(automatic, m) for m in mutate.choose(ROOT, args.automatic, args.seed, args.match, args.under)]
            wanted = [tests for _, m in work for tests in suites.suites_of(m.file)]
        else:
            work = [(seeded, f) for f in faults if args.match in f["name"]]
            wanted = [sorted({t for _, f in work for t in f["test"].split()})]
        _check_unbroken(trees.queue[0], wanted)

        def one(job: tuple) -> Result:
            tree = trees.get()
            try:
                result = job[0](job[1], tree)
            finally:
                trees.put(tree)
            print(f"{'caught  ' if result.caught else 'SURVIVED'} {result.name} ({result.seconds:.0f} s)", flush=True)
            print(f"         {result.change}\n         {result.reason}", flush=True)
            return result

        with ThreadPoolExecutor(args.jobs) as pool:
            results = list(pool.map(one, work))
    caught = sum(r.caught for r in results)
    print(f"{caught} of {len(results)} caught in {time.monotonic() - start:.0f} s")
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n", encoding="utf-8")
    enough = caught >= WANTED_SHARE * len(results) if args.automatic else caught == len(results)
    return 0 if results and enough else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--match", default="", help="only faults whose name, or files whose path, contains this")
    parser.add_argument("--automatic", type=int, default=0, metavar="N", help="N mutants of mutate.py instead")
    parser.add_argument("--seed", type=int, default=0, help="which mutants")
    parser.add_argument("--under", nargs="+", default=[], metavar="DIR", help="mutants in these folders only")
    parser.add_argument("--jobs", type=int, default=1, help="copies of the tree that are tested at the same time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    return parser.parse_args()


def _check_unbroken(tree: Path, wanted: list[list[str]]) -> None:
    """Every suite passes as long as nothing is broken; this also builds what the tests share.

    Raises:
        SystemExit: one does not, so it would catch anything.
    """
    for tests in dict.fromkeys(map(tuple, wanted)):
        verdict = run_tests(tree, list(tests))
        print(f"unbroken: {verdict.outcome}: {' '.join(tests)}", flush=True)
        if verdict.outcome != "passed":
            sys.exit(f"the tests do not pass on the unbroken tree: {verdict.reason}")


if __name__ == "__main__":
    raise SystemExit(main())
