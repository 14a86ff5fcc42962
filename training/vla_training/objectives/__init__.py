"""What policies learn from, one file each: a loss of a batch, and numbers to watch.

Not here: the loop (`vla_training.loop`), what a batch holds (`vla_models.policy.Batch`).
"""
