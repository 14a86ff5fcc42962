"""BabyAI by cells, with convolutions and hidden units that the mission chooses: a task-sparse mixture of experts."""
