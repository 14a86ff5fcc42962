"""The list of mutants that no test can see is true to the code, and none of them is chosen."""

import mutate
import pytest
from workspace import ROOT


@pytest.mark.parametrize("entry", mutate.equivalent(), ids=lambda e: f"{e['file']}: {e['fault']}")
def test_each_is_a_mutant_of_a_line_that_is_there(entry):
    text = (ROOT / entry["file"]).read_text(encoding="utf-8")
    places = mutate.verilog_mutants(text) if entry["file"].endswith(".v") else mutate.python_mutants(text)
    lines = text.splitlines()

    def changed(number, start, end, new):
        line = lines[number - 1]
        return line.strip(), (line[:start] + new + line[end:]).strip()

    changes = {changed(*place) for place in places}
    assert (entry["line"], entry["fault"]) in changes
    assert entry["reason"]
    assert not [m for m in mutate.choose(ROOT, 10_000, 0, entry["file"]) if m.change.endswith(entry["fault"])]
