"""SigLIP's vision tower: its sizes, its network, its pictures, and a folder of weights of one.

Not here: how one is trained on pictures alone (`siglip_tower`), what is made of its tokens (`vlm_waypoint`).
"""
