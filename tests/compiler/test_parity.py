"""Node by node parity with ONNX Runtime over whole graphs, and that the comparison finds what is wrong."""

import graphs
import pytest
from parity import check_rtl, compile_proto, random_inputs, run_parity

import vlarun
from vla_toolchain.verify import NodeCheck, check_nodes, exact_reference, joined

SMALL = ["three_convs", "demo_policy", "mobilenet_block", "inception_block", "gemm_4096"]
exact = pytest.mark.skipif(
    not exact_reference(), reason="ONNX Runtime's int8 convolution is exact only on CPUs with VNNI"
)


@pytest.mark.parametrize("config", ["u50", "tiny"])
@pytest.mark.parametrize("name", SMALL)
def test_every_node_matches_onnx_runtime(name, config):
    outcome = run_parity(graphs.GRAPHS[name](), config)
    assert sum(c.elements for c in outcome.checks) >= 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "nodes"),
    [
        ("carla_frame", "u50", 12),
        ("carla_frame", "tiny", 12),
        ("resnet18", "u50", 23),
        ("resnet18", "tiny", 23),
        ("conv_128", "u50-2port", 1),
    ],
)
def test_large_graphs_match_node_by_node(name, config, nodes):
    assert len(run_parity(graphs.GRAPHS[name](), config, calib="random:2").checks) >= nodes


@pytest.mark.slow
@pytest.mark.xdist_group("rtl u50")
def test_resnet18_leaves_the_same_bytes_on_rtl():
    state = compile_proto(graphs.resnet18(), "u50", calib="random:2")
    check_rtl(state, random_inputs(state.program))


# --- the comparison itself ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept():
    """A policy compiled with every tensor kept, an input, and its integers."""
    state = compile_proto(graphs.demo_policy(), "tiny", debug_outputs=True)
    inputs = random_inputs(state.program)
    return state, inputs, vlarun.Session(state.program, backend="sim").run(inputs, raw=True)


def refused_nodes(state, inputs, raw):
    return [c.name for c in check_nodes(state, inputs, raw) if not c.ok]


@exact
def test_the_right_integers_pass(kept):
    assert refused_nodes(*kept) == []


@exact
def test_a_value_off_by_two_is_found_in_its_node_and_nowhere_else(kept):
    state, inputs, raw = kept
    first = state.graph.ops[0].output
    spoiled = raw[first.name].copy()
    spoiled.flat[5] += 2 if spoiled.flat[5] < 0 else -2
    found = check_nodes(state, inputs, {**raw, first.name: spoiled})
    assert [(c.name, c.different, c.largest) for c in found if not c.ok] == [(first.label, 1, 2)]


@exact
def test_a_wrong_weight_is_found_in_its_layer_and_does_not_travel_on(kept):
    """One word of the first convolution's weights; later layers are fed the wrong integers and agree on them."""
    state, inputs, _ = kept
    weights = state.program.weights
    before = weights[0].copy()
    weights[0] = 127
    try:
        raw = vlarun.Session(state.program, backend="sim").run(inputs, raw=True)
    finally:
        weights[0] = before
    assert refused_nodes(state, inputs, raw) == [state.graph.ops[0].output.label]


def test_what_counts_as_equal():
    assert NodeCheck("n", 10_000, 10, 1).ok
    assert not NodeCheck("n", 10_000, 11, 1).ok
    assert not NodeCheck("n", 10_000, 1, 2).ok


def test_checks_of_several_inputs_are_one_per_node():
    a, b = NodeCheck("a", 1000, 1, 1), NodeCheck("b", 10, 0, 0)
    assert joined([[a, b], [NodeCheck("a", 1000, 0, 0), b]]) == [NodeCheck("a", 2000, 1, 1), NodeCheck("b", 20, 0, 0)]
