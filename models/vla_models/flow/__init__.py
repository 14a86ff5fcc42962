"""Flow matching: how far a chunk is from noise to action, and the steps of its sampler.

x = noise + time * (action - noise), time from 0 to 1; the network learns the velocity, action - noise (Lipman et al.
2022, arXiv 2210.02747). Not here: the loss (`vla_training.objectives.flow_matching`), the networks.
"""
