"""Others' recordings -> the prepared form: of Push-T LeRobotDataset v2.0, v2.1 and v3.0 and the replay buffers of
Diffusion Policy; of two arms the HDF5 of ALOHA, ACT and RDT.

All files are taken to be from strangers: bounds are checked before memory is taken, and nothing is unpickled.
Not here: the prepared form (`lerobot/`).
"""
