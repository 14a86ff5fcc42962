"""One operator per file behind one OpSpec. To add one: write its file, add a line here, add its test."""

from vlac.ops import (
    add, average_pool, batch_normalization, clip, concat, conv, dequantize_linear, dropout, flatten, gemm,
    global_average_pool, identity, leaky_relu, matmul, max_pool, mul, pad, quantize_linear, reduce_mean, relu, reshape,
    sigmoid, squeeze, tanh, unsqueeze,
)

__all__ = ["BY_NAME", "OPS"]

OPS = (
    add.SPEC,
    average_pool.SPEC,
    batch_normalization.SPEC,
    clip.SPEC,
    concat.SPEC,
    conv.SPEC,
    dequantize_linear.SPEC,
    dropout.SPEC,
    flatten.SPEC,
    gemm.SPEC,
    global_average_pool.SPEC,
    identity.SPEC,
    leaky_relu.SPEC,
    matmul.SPEC,
    max_pool.SPEC,
    mul.SPEC,
    pad.SPEC,
    quantize_linear.SPEC,
    reduce_mean.SPEC,
    relu.SPEC,
    reshape.SPEC,
    sigmoid.SPEC,
    squeeze.SPEC,
    tanh.SPEC,
    unsqueeze.SPEC,
)
BY_NAME = {spec.name: spec for spec in OPS}
