"""A chunk of actions [1, 16, 2] that a network reads as one row, as diffusion policies do: int16 from step to step."""

import numpy as np
import pytest
from on_device import check, snr

import vlarun
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file


def sampler(steps):
    import torch
    from torch import nn

    class Sampler(nn.Module):
        """x + velocity / steps, `steps` times; the velocity is a residual network's over all of x."""

        def __init__(self):
            super().__init__()
            self.seen, self.chunk, self.out = nn.Linear(20, 64), nn.Linear(32, 64), nn.Linear(64, 32)
            self.norm, self.up, self.down = nn.LayerNorm(64), nn.Linear(64, 96), nn.Linear(96, 64)
            self.time = nn.Parameter(torch.randn(steps, 64))

        def forward(self, seen, x):
            seen = self.seen(seen)
            for step in range(steps):
                y = self.chunk(x.flatten(1)) + self.time[step : step + 1] + seen
                y = y + self.down(nn.functional.gelu(self.up(self.norm(y))))
                x = x + self.out(y).unflatten(1, (16, 2)) * (1 / steps)
            return x

    torch.manual_seed(0)
    return Sampler().eval(), (torch.randn(1, 20), torch.randn(1, 16, 2))


def test_a_chunk_that_is_read_as_one_row():
    pytest.importorskip("torch")
    from experts import exported

    module, inputs = sampler(3)
    found = check(exported(module, inputs, ["seen", "x"]), "tiny", samples=64, least=40.0)
    (chunk,) = found.state.program.outputs
    assert chunk.layout.planes == 2, "int16"


def test_its_steps_are_a_loop():
    """The state between them has 16 bits."""
    pytest.importorskip("torch")
    from experts import exported

    module, inputs = sampler(10)
    model = exported(module, inputs, ["seen", "x"])
    rng = np.random.default_rng(3)
    shapes = {"seen": (1, 20), "x": (1, 16, 2)}
    given = [{name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()} for _ in range(66)]
    state = compile_file(model, "tiny", CompileOptions(calibration=given[2:], check=True))
    assert state.graph.repeat == 10
    for sample in given[:2]:
        wanted = Reference(model).run(sample)
        found = [vlarun.Session(state.program, backend=b).run(sample) for b in ("sim", "rtl")]
        (name,) = wanted
        assert snr(wanted[name], found[0][name]) > 40
        assert np.array_equal(found[0][name], found[1][name])
