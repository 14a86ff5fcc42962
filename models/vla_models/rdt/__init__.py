"""RDT, the Robotics Diffusion Transformer: a chunk of actions from noise, over words and pictures in turn."""
