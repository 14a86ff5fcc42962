"""Nodes, constants and models of a few lines; seeded numbers for them."""

import numpy as np
from onnx import TensorProto as T
from onnx import checker, helper, numpy_helper

N = helper.make_node


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def value(name, shape, kind=T.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, constants=(), opset=17, domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in domains)]
    made = helper.make_model(graph, opset_imports=imports, ir_version=9)
    if not domains:
        checker.check_model(made)
    return made


class Numbers:
    """Seeded random arrays; `w` is scaled so that a layer keeps the size of what it reads."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def f(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def w(self, *shape):
        return (self.f(*shape) / np.sqrt(shape[0])).astype(np.float32)
