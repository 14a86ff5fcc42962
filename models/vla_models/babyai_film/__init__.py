"""BabyAI by cells: features of each 8x8 pixel cell, modulated by the mission, and two small convolutions."""
