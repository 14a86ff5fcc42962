"""A policy as the device computes it, that can still be trained: quantization-aware training (QAT).

`convert.py` makes one of a float policy and calibration data, with the graph and the ranges that the compiler chooses;
`graph.py` computes it, `policy.py` is what training, export and evaluation see of it.
"""
