"""Samplers: DPM-Solver++ against what the package `diffusers` computes."""

from __future__ import annotations

import numpy as np
import pytest

from vla_models.sampling.noise_schedule import signal

# diffusers 0.42.1: DPMSolverMultistepScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2",
# prediction_type="sample"), from five values from -2 to 2, with the network tanh(1.7 x + t / 1000) + 0.3 x
TIMES = {1: [999], 2: [999, 500], 5: [999, 799, 599, 400, 200], 10: [999, 899, 799, 699, 599, 500, 400, 300, 200, 100]}
ENDS = {
    1: [-1.58370721, -0.905002133, 0.761173862, 1.290989532, 1.599697976],
    2: [-1.759883601, -1.350083157, 1.047249832, 1.482492213, 1.764099486],
    5: [-1.687927125, -1.481623699, 1.281518078, 1.516186921, 1.689593038],
    10: [-1.598519832, -1.469069036, 1.339855109, 1.488235808, 1.600017627],
}
SIGNAL = {0: 9.9995869e-01, 1: 9.9991256e-01, 499: 4.9384347e-01, 998: 2.4287663e-06}


def test_the_schedule_is_that_of_diffusers() -> None:
    assert signal().shape == (1000,) and (np.diff(signal()) < 0).all()
    for step, wanted in SIGNAL.items():
        assert signal()[step] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("count", TIMES)
def test_the_solver_s_steps_are_those_of_diffusers(count: int) -> None:
    import torch

    from vla_models.sampling.dpm_solver import DpmLoop, DpmSolver, solver_steps

    class Net(torch.nn.Module):
        """A `Denoiser` of one number for each value."""

        def condition(self) -> None:
            return None

        def time_rows(self, times: torch.Tensor) -> torch.Tensor:
            return times[:, None]

        def predict(self, x: torch.Tensor, time_row: torch.Tensor, condition: None) -> torch.Tensor:
            return torch.tanh(1.7 * x + time_row) + 0.3 * x

    assert [round(1000 * step.time) for step in solver_steps(count)] == TIMES[count]
    found = DpmSolver(Net(), count)(torch.linspace(-2, 2, 5)[None])
    assert np.allclose(found[0].numpy(), ENDS[count], atol=1e-5)
    state = torch.zeros(1, 2, 5)
    state[:, 0] = torch.linspace(-2, 2, 5)
    looped = DpmLoop(Net(), count, 5)(state)
    assert looped.shape == (1, 2, 5)
    assert np.allclose(looped[0, 0].numpy(), ENDS[count], atol=1e-5)


def test_steps_of_any_number_are_at_times_of_their_own() -> None:
    """With one more, two would be at the same time, and the line through them would have no slope."""
    from vla_models.sampling.dpm_solver import solver_steps
    from vla_models.sampling.noise_schedule import MOST_STEPS

    for count in (1, 2, 3, 333, 666, MOST_STEPS):
        numbers = np.array([(step.time, step.x, step.now, step.before) for step in solver_steps(count)])
        assert np.isfinite(numbers).all() and (np.diff(numbers[:, 0]) < 0).all()
