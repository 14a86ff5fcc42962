"""Diffusion Policy as LeRobot trains it: a chunk of actions from noise, conditioned on the last images and states."""
