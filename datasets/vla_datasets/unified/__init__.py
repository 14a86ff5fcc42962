"""One vector for the states and actions of many robots, and what a set in it is told by: statistics, frequency, weight.

Liu et al., "RDT-1B" (arXiv 2410.07864), appendix on the physically interpretable unified action space.
Not here: the network that takes the vector (`vla_models`), the prepared form of data sets (`lerobot/`).
"""
