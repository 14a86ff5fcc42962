"""The report page: every number it shows is the program's, regions are drawn to scale and named."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import graphs
import numpy as np
import pytest
from parity import compile_proto
from sequence.blocks import Block

from vla_isa.errors import ProgramError
from vla_isa.hardware import load
from vla_isa.program import MapEntry
from vlac import CompileOptions, compile_file
from vlac.report.accuracy import NodeAccuracy
from vlac.report.html import report_page
from vlac.report.maps import scratchpad_map, space_map
from vlac.report.parts import parts
from vlac.report.summary import layer_rows, weight_regions
from vlac.report.wide_tensors import wide_tensors


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
    shown = {r[0]: r for r in _Tables(report_page(program, "demo")).rows if len(r) == 14 and r[0] in rows}
    assert set(shown) == set(rows)
    for node, row in rows.items():
        cells = shown[node]
        assert cells[2] == "x".join(map(str, row["shape"]))
        assert cells[3] == row["type"] == "int8"
        assert cells[4] == f"{row['scale']:.4g}" and cells[5] == str(row["zero_point"])
        assert cells[6:11] == [f"{row[k]:,}" for k in ("macs", "weight_bytes", "read_bytes", "write_bytes", "busy")]


@pytest.fixture(scope="module")
def transformer():
    """A pre-norm block of 21 pixels, two heads of 16 channels."""
    block = Block(length=21, channels=32, heads=2)
    calibration = {"x": np.random.default_rng(0).standard_normal((1, 21, 32)).astype(np.float32)}
    return compile_file(block.model(), load("tiny"), CompileOptions(calibration=calibration)).program


def test_parts_of_an_attention_are_its_instructions(transformer):
    """Two heads: each kind of part twice; together they are all instructions of the node, and all of its MACs."""
    (row,) = [r for r in layer_rows(transformer) if r.get("kind") == "Attention"]
    found = {p.name: p for p in parts(transformer)[row["node"]]}
    assert {n: p.packets for n, p in found.items() if p.queue in ("mac", "vec")} == {
        "logits, maxima": 2,
        "exponents, sums": 2,
        "1 / sum": 2,
        "mix of values": 2,
    }
    assert sum(p.packets for p in found.values()) == [s.node for s in transformer.sources].count(row["node"])
    assert sum(p.macs for p in found.values()) == row["macs"] == 2 * 2 * 21 * 21 * 16
    assert sum(p.cycles for p in found.values() if p.queue in ("mac", "vec")) == row["busy"]
    assert {"copied to weights", "transposed"} <= set(found)


def test_parts_are_shown_below_their_node(transformer):
    page = report_page(transformer, "block")
    rows = _Tables(page).rows
    at = next(i for i, r in enumerate(rows) if len(r) == 14 and r[1] == "Attention")
    assert "<details><summary>" in page
    assert rows[at + 2][:2] == ["part", "instruction"]
    assert "logits, maxima" in [r[0] for r in rows[at + 3 : at + 12]]


def test_what_is_int16_and_why(transformer):
    """The stream between the two halves of a block, its result, and the scores of both heads."""
    found = {t.why: t for t in wide_tensors(transformer)}
    assert set(found) == {"a norm reads it", "a result of the model", "scores of attention, 1/256 nat a step"}
    scores = found["scores of attention, 1/256 nat a step"]
    assert (scores.shape, scores.heads) == ((1, 21, 21), 2)
    assert found["a norm reads it"].shape == (1, 21, 32)
    assert all(t.why in report_page(transformer, "block") for t in found.values())


def test_accuracy_stands_beside_its_node(transformer):
    label = next(r["label"] for r in layer_rows(transformer) if r.get("kind") == "Attention")
    page = report_page(transformer, "block", accuracy={"": [NodeAccuracy(label, 0.98765, 37.25)]})
    (row,) = [r for r in _Tables(page).rows if len(r) == 16 and r[1] == "Attention"]
    assert row[14:] == ["37.2 dB", "98.77 %"]


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
