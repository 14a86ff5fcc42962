"""Every operator of OPS is named in a test here; unknown ones are refused with a hint."""

import importlib
from pathlib import Path

from graphs import GraphBuilder
from one_op import refused

from vlac import ops
from vlac.ops import BY_NAME, OPS


def test_every_operator_has_a_test():
    text = "".join(p.read_text() for p in Path(__file__).parents[1].rglob("test_*.py") if p.name != Path(__file__).name)
    missing = [s.name for s in OPS if s.name not in text]
    assert not missing


def test_names_are_unique_and_rules_are_sentences():
    assert len(BY_NAME) == len(OPS)
    for rule in [r for s in OPS for r in s.rules]:
        assert rule.__doc__ and rule.__doc__.rstrip().endswith("."), rule


def test_unknown_operators_are_listed_together():
    g = GraphBuilder("unknown")
    x = g.node("Hardmax", [g.input("x", (1, 8))])
    refused(
        g.model(g.node("LpNormalization", [x])),
        "2 nodes",
        "Hardmax 'hardmax0': the operator is not supported",
        "LpNormalization 'lpnormalization1'",
        "vlac ops",
    )


def test_every_file_of_the_folder_is_an_operator_and_listed():
    files = {p.stem for p in Path(ops.__file__).parent.glob("*.py")} - {"__init__"}
    found = {name: importlib.import_module(f"vlac.ops.{name}").SPEC for name in files}
    assert sorted(found.values(), key=lambda s: s.name) == sorted(OPS, key=lambda s: s.name)
