"""A small convolutional policy for BabyAI: image stack, mission and previous action in, action logits out."""
