"""From noise to a chunk of actions: samplers, each a module that holds all steps, and what they share.

Flow (`euler.py`): x = noise + time * (action - noise), time from 0 to 1; the network says the velocity, action - noise
(Lipman et al. 2022, arXiv 2210.02747).
Diffusion (`dpm_solver.py`): x = alpha * action + sigma * noise, time from 1 to 0; the network says the action (Ho et
al. 2020, arXiv 2006.11239, with the parametrization of Salimans and Ho 2022, arXiv 2202.00512).
Not here: the losses (`vla_training.objectives`), the networks.
"""

from __future__ import annotations

__all__ = ["ACTION", "VELOCITY"]

ACTION, VELOCITY = "action", "velocity"  # what a sampler asks a network for (`asks`), and an objective teaches it
