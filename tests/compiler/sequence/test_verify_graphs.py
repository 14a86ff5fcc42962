"""`--verify` and `--report` of several graphs: a table an entry point, and the program beside the graphs alone."""

import re
from dataclasses import replace

import numpy as np
import onnx
import pytest
from test_several_graphs import Policy, flow, flow_carry, flow_options

from vla_isa import image
from vla_isa.hardware import load
from vla_toolchain.verify.graphs import verify_graphs
from vla_toolchain.vlac_cli import main
from vlac.graphs import CompiledGraphs, compile_graphs
from vlac.report.html import report_page
from vlac.report.summary import summary


def quiet(step: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def models():
    return flow(split=False)


@pytest.fixture(scope="module")
def flowing(models):
    return compile_graphs(models, load("tiny"), flow_options(np.random.default_rng(1)), flow_carry(models))


@pytest.mark.parametrize("which", ["flow", "decoder"])
def test_each_graph_is_judged_with_the_scales_that_it_has_in_the_program(which, request):
    made = request.getfixturevalue("flowing") if which == "flow" else Policy().compiled()
    found = verify_graphs(made, quiet)
    assert list(found) == list(made.parts)
    for name, each in found.items():
        outputs = {v.name for v in made.program.at(name).model_outputs}
        assert len(each.rows) > len(outputs)
        assert not each.faults(exact=True) and not each.unjudged
        assert all(row.check.elements and row.snr is not None and row.snr > 20 for row in each.rows), name
        assert {c.name for c in each.linked} == outputs == {r.name for r in each.rewrites}
        assert all(c.elements and not c.different for c in each.linked)


def test_a_program_that_is_not_its_graphs_is_a_fault(flowing):
    wrong = CompiledGraphs(replace(flowing.program, weights=-flowing.program.weights), flowing.parts)
    for each in verify_graphs(wrong, quiet).values():
        (fault, *_) = each.faults(exact=True)
        assert re.search(r"the entry point does not what its graph does: output '\w+' differs in \d+ values", fault)


def test_state_goes_from_the_prefix_to_the_step_in_the_program(flowing):
    """Where the linked step reads another place than the prefix writes, its outputs differ; the prefix's do not."""
    step = flowing.program.others["step"]
    moved = [replace(t, line=step.inputs[0].line) if t.name == "past_key" else t for t in step.inputs]
    lines = [t.line for t in step.inputs if t.name == "past_key"]
    others = {
        "step": replace(step, inputs=[replace(t, line=lines[0] + 1) if t.name == "past_key" else t for t in moved])
    }
    found = verify_graphs(CompiledGraphs(replace(flowing.program, others=others), flowing.parts), quiet)
    assert not found["prefix"].faults(exact=True)
    assert found["step"].faults(exact=True)


def test_the_report_has_a_table_for_each_entry_point(flowing):
    page = report_page(flowing.program, "flow.bin")
    head = page[page.index("Entry points") : page.index("<header id=entry0>")]
    for number, name in enumerate(("prefix", "step")):
        facts = summary(flowing.program.at(name))
        assert f"<a href='#entry{number}'>{name}</a>" in head
        assert f"{facts['macs']:,}" in head and f"{facts['cycles']:,}" in head
        assert f"<header id=entry{number}><h1>{name}</h1>" in page
    assert "x, past_key, past_value<td class=t>past_value of prefix, past_key of prefix, x of step" in head
    prefix, step = page.split("<header id=entry")[1:]
    assert "prefix:" in prefix and "step:" not in prefix.split("<h2>Layers")[1].split("</table>")[0]
    assert "step:" in step


def test_the_command(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, model in models.items():
        onnx.save(model, tmp_path / f"{name}.onnx")
    carry = [part for given, made in flow_carry(models) for part in ("--carry", f"{given}={made}")]
    arguments = ["compile", "prefix.onnx", "step.onnx", "-o", "prog.bin", "--config", "tiny", "--calib", "random:8"]
    assert main([*arguments, *carry, "--verify", "--report", "page"]) == 0
    said = capsys.readouterr().out
    for name in ("prefix", "step"):
        table = said[said.index(f"entry point {name}:") :]
        assert re.search(r"verified \d+ nodes against ONNX Runtime: \d+ of \d+ values equal", table)
        assert "its entry point of the program beside the graph alone, state handed on:" in table
        assert re.search(r"at most 0 LSB, 100.000 % equal", table)
    page = (tmp_path / "page" / "report.html").read_text()
    assert page.count("SNR to float") == 2 and page.count(" dB<") > 6
    assert list(image.load(tmp_path / "prog.bin").entries) == ["prefix", "step"]
    assert main([*arguments, *carry, "--verify", "--rounding", "half-up"]) == 2
