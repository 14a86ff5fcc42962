"""ALOHA: two arms hand a cube over, in gym-aloha's physics.

Which renderer draws is settled here, before any module of this folder loads dm_control, which asks for it only once.
"""

from vla_datasets.worlds.aloha.renderer import choose_renderer

choose_renderer()
