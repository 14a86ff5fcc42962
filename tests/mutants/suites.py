"""Which tests concern a file: several suites, the cheapest first.

Not here: running them (workspace.py). A file without suites is not broken by mutate.py.
"""

from __future__ import annotations

import fnmatch

__all__ = ["suites_of"]

FAST = ["-m", "not slow"]
EXECUTE = ["tests/runtime/test_execute.py", "tests/runtime/test_requantize.py"]
RUNTIME = [*FAST, "tests/runtime", "tests/mutants/test_found.py"]
COMPILER = [*FAST, "tests/compiler", "tests/mutants/test_found.py"]
ISA = [*FAST, "tests/isa", "--deselect", "tests/isa/test_packet_check.py"]
TIMES = ["tests/runtime/test_packet_times.py"]
TASKS = ["tests/compiler/test_task_masks.py", "tests/compiler/test_task_masks_alone.py", *FAST]
GRAPHS = ["tests/compiler/test_graphs.py"]
NETWORKS = ["tests/compiler/test_random.py::test_networks_on_u50"]
AFFINE = [f"tests/compiler/ops/test_{name}.py" for name in ("batch_normalization", "gemm", "matmul", "mul")]
STEPS = [f"tests/compiler/test_{name}_steps.py" for name in ("dialect", "wide_weight", "qonnx")]
DIALECTS = ["tests/compiler/test_dialects.py", "tests/compiler/test_qdq.py"]
QUANTIZE = ["tests/compiler/test_quantize.py", "tests/compiler/test_trained_ranges.py"]
FAULTS = ["tests/compiler/test_faults_quantizer.py", "tests/compiler/test_faults_never.py"]
CALIBRATION = ["tests/compiler/test_refusals.py", "tests/compiler/test_input_arrays.py"]
VERIFY = ["tests/compiler/test_verify.py", "tests/compiler/test_loss_report.py", "tests/compiler/test_parity.py", *FAST]
NUMERICS = [f"tests/isa/test_{name}.py" for name in ("numerics", "row_numerics", "reciprocal")]
SEQUENCE = [
    *FAST,
    *(f"tests/compiler/sequence/test_{name}.py" for name in ("random_attention", "attention_op", "not_recovered")),
    *(f"tests/compiler/sequence/test_{name}.py" for name in ("microsoft", "mask_structure", "strided_views", "opset")),
]
EXPONENTS = ["tests/compiler/sequence/test_exponents.py"]
EQUALIZED = ["tests/compiler/test_equalize_rows.py", "tests/compiler/sequence/test_equalize_recovered.py"]
SEVERAL = ["tests/compiler/sequence/test_several_graphs.py"]
MAC = ["tests/rtl/vla_mac_engine"]
CORE = ["tests/rtl/vla_core"]
COPIES = ["tests/rtl/vla_store_engine", "tests/rtl/vla_data_loader", "tests/rtl/vla_weight_loader"]

# the first pattern that fits decides
SUITES: tuple[tuple[str, tuple[list[str], ...]], ...] = (
    ("isa/vla_isa/numerics/*", (NUMERICS, EXECUTE)),
    ("isa/vla_isa/timing.py", (["tests/isa/test_timing.py"], GRAPHS)),
    *(
        (f"isa/vla_isa/{name}.py", (["tests/isa/test_timing.py", "tests/isa/test_sharing.py"], TIMES))
        for name in ("dispatch", "queues", "sharing", "banks", "engine_words", "bursts")
    ),
    ("isa/vla_isa/engine_cycles.py", (["tests/isa/test_timing.py", "tests/mutants/test_found.py"], GRAPHS)),
    (
        "isa/vla_isa/instructions/*",
        (
            ["tests/isa/test_generated.py", "tests/isa/test_instructions.py", "tests/isa/test_footprint.py"],
            ["tests/isa/test_timing.py", *EXECUTE],
            GRAPHS,
        ),
    ),
    ("isa/vla_isa/generate/*", (["tests/isa/test_generated.py"],)),
    *((f"isa/vla_isa/{name}.py", (TASKS,)) for name in ("tasks", "check_tasks")),
    ("isa/vla_isa/*", (ISA, RUNTIME)),
    ("runtime/vlarun/execute/*", (EXECUTE, RUNTIME)),
    ("runtime/vlarun/backends/rtl*.py", (RUNTIME, ["tests/runtime/test_rtl.py"])),
    ("runtime/vlarun/partitions.py", (["tests/compiler/test_host_parts.py"], RUNTIME)),
    ("runtime/vlarun/*", (RUNTIME,)),
    ("compiler/vlac/rewrite/sequence/*", (SEQUENCE, [*FAST, "tests/compiler/sequence"])),
    ("compiler/vlac/quantize/equalize_rows.py", ([*FAST, *EQUALIZED],)),
    ("compiler/vlac/rewrite/one_dimensional.py", (["tests/compiler/test_widen.py"], NETWORKS)),
    (
        "compiler/vlac/rewrite/fold_affine.py",
        (["tests/compiler/test_folded_layers.py"], ["tests/compiler/test_fold_affine.py", *AFFINE], NETWORKS),
    ),
    (
        "compiler/vlac/rewrite/pad_max_pool.py",
        (
            ["tests/compiler/test_small_rewrites.py", "-k", "max_pool"],
            ["tests/compiler/test_pad_max_pool.py"],
            [*FAULTS, "-k", "pad"],
            NETWORKS,
        ),
    ),
    ("compiler/vlac/rewrite/where_mask.py", (["tests/compiler/test_where_mask.py"], [*FAULTS, "-k", "mask"], NETWORKS)),
    (
        "compiler/vlac/rewrite/axis_order.py",
        (["tests/compiler/test_turned_regions.py"], ["tests/compiler/test_axis_order.py"], NETWORKS),
    ),
    ("compiler/vlac/rewrite/*", (["tests/compiler/test_small_rewrites.py"], [*FAST, *AFFINE], NETWORKS)),
    ("compiler/vlac/quantize/dialects/wide_weights.py", (STEPS, ["tests/compiler/test_wide_weights.py"], DIALECTS)),
    ("compiler/vlac/quantize/dialects/*", (STEPS, ["tests/compiler/test_rounding.py"], DIALECTS)),
    *(
        (f"compiler/vlac/quantize/{name}.py", ([f"tests/compiler/test_{test}.py"], *others))
        for name, test, others in (
            ("bias_correction", "bias_correction", (QUANTIZE,)),
            ("calibration", "calibration_samples", (CALIBRATION,)),
            ("equalize", "equalize", (QUANTIZE,)),
            ("float_session", "float_session", (QUANTIZE,)),
            ("held_out", "static", (VERIFY,)),
            ("input_ranges", "input_ranges", (FAULTS, NETWORKS)),
            ("insert_qdq", "insert_qdq", (QUANTIZE, FAULTS, NETWORKS)),
            ("known_ranges", "known_ranges", (QUANTIZE, FAULTS, NETWORKS)),
            ("parameters", "quantization_parameters", (QUANTIZE, NETWORKS)),
            ("ranges", "observed_ranges", (QUANTIZE, FAULTS)),
            ("rounding", "static", (["tests/compiler/test_rounding.py"],)),
            ("sensitivity", "sensitivity", (QUANTIZE,)),
            ("static", "static", (QUANTIZE, FAULTS)),
            ("suspects", "suspects", (QUANTIZE, FAULTS)),
        )
    ),
    ("compiler/vlac/lowering/softcap.py", (["tests/compiler/sequence/test_softcap.py"], COMPILER)),
    *((f"compiler/vlac/{file}.py", (EXPONENTS, COMPILER)) for file in ("lowering/softmax", "quantize/exponents")),
    ("compiler/vlac/quantize/*", (QUANTIZE, FAULTS, NETWORKS)),
    ("compiler/vla_toolchain/conformance/*", (["tests/runtime/test_conformance.py", *FAST], [*FAST, "tests/runtime"])),
    ("compiler/vla_toolchain/verify/*", (VERIFY, [*FAST, "tests/compiler/test_vlac_cli.py"])),
    *((f"compiler/vlac/{name}.py", (SEVERAL,)) for name in ("graphs", "emit/link", "legalize/shared_inputs")),
    ("compiler/vlac/model/mask_structure.py", (SEQUENCE, COMPILER)),
    *((f"compiler/vlac/{room}/*", ([*FAST, "tests/compiler/ops"], COMPILER)) for room in ("model", "lowering", "ops")),
    ("compiler/vlac/analysis/*", (["tests/compiler/test_refusal_rules.py"], COMPILER)),
    ("compiler/vlac/*", (COMPILER,)),
    ("rtl/src/vla_requantize*", (["tests/rtl/vla_requantize"], MAC, CORE)),
    ("rtl/src/vla_mac_*", (MAC, CORE)),
    ("rtl/src/vla_row_*", (["tests/rtl/vla_vector_engine"], CORE)),
    ("rtl/src/vla_tensor_*", (["tests/rtl/vla_vector_engine"], CORE)),
    ("rtl/src/vla_vector_*", (["tests/rtl/vla_vector_engine"], CORE)),
    ("rtl/src/vla_semaphores.v", (["tests/rtl/vla_semaphores"], CORE)),
    ("rtl/src/vla_queue.v", (["tests/rtl/vla_queue"], CORE)),
    ("rtl/src/vla_fetch*", (["tests/rtl/vla_fetch"], CORE)),
    ("rtl/src/vla_control*", (["tests/rtl/vla_control"], CORE)),
    ("rtl/src/vla_store_*", (["tests/rtl/vla_store_engine"], CORE)),
    ("rtl/src/vla_weight_*", (["tests/rtl/vla_weight_loader"], CORE)),
    ("rtl/src/vla_mask_filter.v", (["tests/rtl/vla_weight_loader"], CORE)),
    ("rtl/src/vla_line_mover.v", (["tests/rtl/vla_weight_loader"], CORE)),
    ("rtl/src/vla_key_mover.v", (["tests/rtl/vla_weight_loader"], CORE)),
    ("rtl/src/vla_data_*", (["tests/rtl/vla_data_loader"], CORE)),
    ("rtl/src/vla_gather_rows.v", (["tests/rtl/vla_data_loader"], CORE)),
    ("rtl/src/vla_lane_offsets.v", (["tests/rtl/vla_data_loader"], CORE)),
    ("rtl/src/vla_byte_transpose.v", (["tests/rtl/vla_byte_transpose"], CORE)),
    ("rtl/src/vla_local_mover.v", (["tests/rtl/vla_data_loader"], CORE)),
    ("rtl/src/vla_core_monitor.v", (["tests/rtl/vla_core_monitor"], CORE)),
    ("rtl/src/vla_co[pr]*", (CORE,)),
    ("rtl/src/*", (COPIES, CORE)),
    ("rtl/lib/*", (["tests/rtl/vla_queue"], COPIES, CORE)),
)


def suites_of(file: str) -> tuple[list[str], ...]:
    """The suites of a file (path from the root), each a list of pytest arguments; none where there are none."""
    for pattern, suites in SUITES:
        if fnmatch.fnmatch(file, pattern):
            return suites
    return ()
