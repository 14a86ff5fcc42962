"""Files written from the instruction table, the register map and the hardware configs.

`python -m vla_isa.generate` writes them, `python -m vla_isa.generate --check` fails when one is stale.
"""
