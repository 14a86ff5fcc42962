"""The report page: every number it shows is the program's, regions are drawn to scale and named."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import graphs
import pytest
from parity import compile_proto

from vla_isa.errors import ProgramError
from vla_isa.program import MapEntry
from vlac.report.html import report_page
from vlac.report.maps import scratchpad_map, space_map
from vlac.report.summary import layer_rows, weight_regions


class _Tables(HTMLParser):
    """Cells of all tables, row by row, and the text of all <title>s."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.titles, self._open = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._open = tag if tag in ("td", "th", "title") else self._open
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "title":
            self.titles.append("")

    def handle_endtag(self, tag):
        self._open = "" if tag in ("title", "table") else self._open

    def handle_data(self, data):
        if self._open == "title":
            self.titles[-1] += data
        elif self._open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def program():
    return compile_proto(graphs.demo_policy()).program


def test_layers_have_scales_bytes_and_cycles(program):
    rows = {r["node"]: r for r in layer_rows(program)}
    shown = {r[0]: r for r in _Tables(report_page(program, "demo")).rows if len(r) == 13 and r[0] in rows}
    assert set(shown) == set(rows)
    for node, row in rows.items():
        cells = shown[node]
        assert cells[2] == "x".join(map(str, row["shape"]))
        assert cells[3] == f"{row['scale']:.4g}" and cells[4] == str(row["zero_point"])
        assert cells[5:10] == [f"{row[k]:,}" for k in ("macs", "weight_bytes", "read_bytes", "write_bytes", "busy")]


@pytest.mark.parametrize("layers", [3, [3], [{"node": "conv"}], [{"node": [], "label": []}]])
def test_a_manifest_of_another_form_is_refused(program, layers):
    with pytest.raises(ProgramError, match=r"manifest\.layers"):
        layer_rows(replace(program, manifest={"layers": layers}))


def test_bytes_of_layers_are_those_of_the_program(program):
    """Weights are loaded once here, the inputs once, and the output is stored once."""
    rows = layer_rows(program)
    parameters = sum(m.size * 64 for m in program.memory_map if m.name == "parameters")
    assert 0 <= sum(r["weight_bytes"] for r in rows) - program.weights.size <= 2 * parameters
    assert sum(r["weight_bytes"] for r in rows) > program.weights.size
    image = program.inputs[0].layout
    first = next(r for r in rows if r["node"].startswith("conv0"))
    assert first["read_bytes"] >= image.h * image.w * image.blocks * image.block
    assert rows[-1]["write_bytes"] > 0 and sum(r["write_bytes"] for r in rows[:-1]) == 0


def test_weight_regions_cover_the_weight_space(program):
    regions = sorted(weight_regions(program), key=lambda m: m.start)
    assert regions[0].start == 0 and sum(m.size for m in regions) == len(program.weights)
    assert all(a.start + a.size == b.start for a, b in pairwise(regions))


def test_regions_are_named(program):
    titles = _Tables(report_page(program, "demo")).titles
    for entry in program.memory_map:
        assert any(t.startswith(f"{entry.name}: ") for t in titles), entry


def test_scratchpad_is_drawn_to_the_used_part():
    entries = [MapEntry("a", "act", 0, 100, 0, 4), MapEntry("b <c>", "act", 100, 300, 5, 9)]
    picture = scratchpad_map(entries, 100_000, 16)
    boxes = [tuple(map(float, m)) for m in re.findall(r"x=([\d.]+) y=([\d.]+) width=([\d.]+) height=([\d.]+)", picture)]
    (xa, ya, wa, ha), (xb, yb, wb, hb) = boxes
    assert yb == 0 and ya == pytest.approx(225) and ha == pytest.approx(75) and hb == pytest.approx(225)
    assert xb > xa + wa - 1 and wa == pytest.approx(wb)
    assert "400 of 100,000 words used" in picture and "b &lt;c&gt;" in picture and "<c>" not in picture
    assert "words 100 to 399, 4.7 KB, packets 5 to 9" in picture


def test_spaces_are_strips_in_address_order():
    entries = [MapEntry("second", "data", 300, 100, 0, 0), MapEntry("first", "data", 0, 300, 0, 0)]
    picture = space_map(entries, 64)
    assert picture.index("<title>first") < picture.index("<title>second")
    assert "width=749.5" in picture and "first: 18.8 KB from byte 0" in picture
    assert "Nothing lies there" in space_map([], 64) and "Nothing lies there" in scratchpad_map([], 10, 16)


def test_the_page_loads_nothing(program):
    page = report_page(program, "x<y>.onnx")
    assert "http" not in page and "src=" not in page and "x&lt;y&gt;.onnx" in page and "<script" not in page
