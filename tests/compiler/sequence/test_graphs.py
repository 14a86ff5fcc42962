"""Several graphs of one policy in one program, against the separate programs and against the whole graph in float."""

import numpy as np
import pytest
from on_device import snr
from test_carried_state import BLOCKS, LENGTH, TOKENS, Decoder, steps_in_float

import vlarun
from vla_isa import image
from vla_isa.hardware import load
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions
from vlac.errors import ModelError
from vlac.graphs import compile_graphs

PREFIX = 6


class Policy:
    """A prompt at once and a token at a time behind it: equal weights, one cache."""

    def __init__(self):
        decoder = Decoder(llama=False)
        self.models = {"prompt": decoder.step(PREFIX), "token": decoder.step()}
        self.whole = decoder.whole()
        self.caches = [v.name for v in self.models["token"].graph.input][2:]
        made = {name: [v.name for v in m.graph.output] for name, m in self.models.items()}
        self.logits = {name: outputs[0] for name, outputs in made.items()}
        self.carry = [
            (f"token:{cache}", f"{name}:{made[name][1 + i]}")
            for name in self.models
            for i, cache in enumerate(self.caches)
        ]

    def options(self, rng):
        zeros = {n: np.zeros([d.dim_value for d in v.type.tensor_type.shape.dim], np.float32) for n, v in self._inputs()}
        prompts = [
            {"tokens": rng.integers(0, TOKENS, (1, PREFIX)), "positions": np.arange(PREFIX)[None], **zeros}
            for _ in range(12)
        ]
        tokens = [
            {"tokens": rng.integers(0, TOKENS, (1, 1)), "positions": np.array([[i]])}
            for _ in prompts
            for i in range(PREFIX, LENGTH)
        ]
        return {
            "prompt": CompileOptions(calibration=prompts, check=True),
            "token": CompileOptions(calibration=tokens, check=True),
        }

    def _inputs(self):
        return [(v.name, v) for v in self.models["prompt"].graph.input[2:]]

    def compiled(self, config="tiny", seed=3):
        return compile_graphs(self.models, load(config), self.options(np.random.default_rng(seed)), self.carry)


@pytest.fixture(scope="module")
def policy():
    return Policy()


@pytest.fixture(scope="module")
def compiled(policy):
    return policy.compiled()


def runs(tokens):
    """What each run takes, the prompt first."""
    places = np.arange(LENGTH)[None]
    yield "prompt", {"tokens": tokens[:, :PREFIX], "positions": places[:, :PREFIX]}
    for i in range(PREFIX, LENGTH):
        yield "token", {"tokens": tokens[:, i : i + 1], "positions": places[:, i : i + 1]}


def test_a_prompt_and_the_tokens_behind_it(policy, compiled):
    tokens = np.random.default_rng(5).integers(0, TOKENS, (1, LENGTH))
    zeros = {n: np.zeros((1, 2, LENGTH, 16), np.float32) for n in policy.caches}
    session = vlarun.Session(image.loads(image.dumps(compiled.program)))
    alone = {name: vlarun.Session(part.program) for name, part in compiled.parts.items()}
    found, state = [], zeros
    for entry, inputs in runs(tokens):
        made = session.run({**inputs, **(zeros if entry == "prompt" else {})}, entry=entry)
        other = alone[entry].run({**inputs, **state})
        for name, array in other.items():
            assert np.array_equal(made[name], array), (entry, name)
        found.append(made[policy.logits[entry]][0])
        state = dict(zip(policy.caches, [a for n, a in other.items() if n != policy.logits[entry]], strict=True))
    (wanted,) = Reference(policy.whole).run({"tokens": tokens, "positions": np.arange(LENGTH)[None]}).values()
    assert snr(wanted[0], np.concatenate(found)) > 25
