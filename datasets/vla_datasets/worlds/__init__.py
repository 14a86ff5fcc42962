"""Worlds that policies act in, one folder each.

Not here: collecting demonstrations in them (`collect.py`), evaluating policies in them (`vla_training.evaluate`).
"""
