"""What a trained policy is worth: success in closed loop, with error bars, on any backend.

Not here: the worlds (`vla_datasets.worlds`), the policies and their preprocessing (`vla_models`).
"""
