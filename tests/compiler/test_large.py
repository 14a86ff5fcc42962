"""What exceeds a memory is cut in bands, chunks and channel blocks, or refused with bytes needed and bytes there."""

import gc
from dataclasses import replace
from pathlib import Path

import graphs
import pytest
from graphs import GraphBuilder
from large_graphs import LARGE
from parity import check_rtl, compile_proto, random_inputs, run_parity

from vla_isa import hardware
from vlac.errors import AllocationError
from vlac.options import CompileOptions
from vlac.passes import Compilation, run_passes
from vlac.pipeline import PASSES

NOTHING = Compilation(Path("x"), hardware.load("tiny"), CompileOptions()), lambda *_: None, lambda _: None
CUT = sorted(set(LARGE) - {"wide_gemm", "heavy_weights", "many_tensors"})


@pytest.mark.parametrize("name", LARGE)
def test_every_node_matches_onnx_runtime(name):
    run_parity(LARGE[name](), "tiny", calib="random:2")


@pytest.mark.parametrize("name", CUT)
def test_images_larger_than_the_scratchpad_are_streamed(name):
    state = compile_proto(LARGE[name](), "tiny", calib="random:1")
    assert state.planned.plan.streamed
    assert {len(p.cut.bands) > 1 for p in state.planned.plan.plans if p.op.queue} != {False}


def test_weights_are_loaded_in_chunks():
    state = compile_proto(LARGE["heavy_weights"](), "tiny", calib="random:1")
    loads = [s for s in state.program.sources if s.op == "load weights"]
    assert len(state.program.weights) > 3 * state.hw.weight_words and len(loads) > 8


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_the_same_bytes_on_rtl(name):
    state = compile_proto(LARGE[name](), "tiny", calib="random:2")
    check_rtl(state, random_inputs(state.program))


@pytest.mark.slow
def test_one_gemm_of_sixteen_million_weights():
    g = GraphBuilder("gemm")
    run_parity(g.model(g.gemm(g.input("x", (1, 4096)), 4096, 4096)), "u50", calib="random:1")


@pytest.mark.slow
def test_an_image_larger_than_the_scratchpad_of_u50():
    g = GraphBuilder("large")
    x = g.conv(g.conv(g.input("x", (1, 3, 512, 512)), 16), 24)
    assert run_parity(g.model(g.conv(x, 8, 5, 3)), "u50", calib="random:1").state.planned.plan.streamed


def refused(model, config, *parts):
    with pytest.raises(AllocationError) as caught:
        compile_proto(model, config, calib="random:1")
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_a_row_that_exceeds_the_scratchpad_is_refused():
    g = GraphBuilder("wide")
    model = g.model(g.conv(g.input("x", (1, 8, 3, 9000)), 8))
    refused(model, "tiny", "Conv 'conv0+relu1'", "3 of 'x' (216000 bytes)", "131072", "narrower image")


def test_a_map_of_which_one_channel_block_exceeds_the_scratchpad_is_refused():
    g = GraphBuilder("map")
    x = g.conv(g.input("x", (1, 8, 128, 128)), 40)
    model = g.model(g.node("GlobalAveragePool", [x]))
    refused(model, "tiny", "GlobalAveragePool 'globalaveragepool2' needs", "131072", "more memory or a smaller input")


def test_a_matrix_that_exceeds_the_scratchpad_is_refused():
    g = GraphBuilder("tokens")
    model = g.model(g.node("MatMul", [g.input("x", (196, 768)), g.constant(g.weight(768, 768))], 768))
    refused(model, "tiny", "MatMul 'matmul0' needs 301056 bytes", "'x' 150528", "131072")


def test_the_collector_of_garbage_is_on_again_behind_a_refusal():
    """Passes on the device graph do without it: it would go through all operations again and again."""
    during = []
    states = {p.name: p for p in PASSES}
    run_passes((replace(states["emit"], run=lambda _: during.append(gc.isenabled())),), *NOTHING)
    assert during == [False] and gc.isenabled()

    def refuses(_):
        raise AllocationError("too large", "node")

    with pytest.raises(AllocationError):
        run_passes((replace(states["plan"], run=refuses),), *NOTHING)
    assert gc.isenabled()


def test_what_such_a_pass_makes_is_not_gone_through_at_its_end():
    """The collector is due then; a graph of a million objects took it seconds behind each pass."""
    made, seen = [], []

    def look(phase, info):
        if phase == "start" and made:
            looked = (o for n in range(info["generation"] + 1) for o in gc.get_objects(generation=n))
            seen.append(any(o is made[0] for o in looked))

    def run(_):
        made.extend([i] for i in range(20_000))

    (emit,) = (p for p in PASSES if p.name == "emit")
    gc.callbacks.append(look)
    try:
        run_passes((replace(emit, run=run),), *NOTHING)
        more = [[i] for i in range(2_000)]  # for which it does run
    finally:
        gc.callbacks.remove(look)
    assert more and seen and not any(seen)
    assert gc.isenabled() and not gc.get_freeze_count()


def test_weights_are_loaded_ahead_of_the_layer_in_front():
    sources = compile_proto(graphs.carla_frame(), "u50", calib="random:1").program.sources
    layers = list(dict.fromkeys(s.node for s in sources if s.op == "Conv"))
    load = next(i for i, s in enumerate(sources) if s.op == "load weights" and s.node == layers[1])
    assert load < max(i for i, s in enumerate(sources) if s.op == "Conv" and s.node == layers[0])
