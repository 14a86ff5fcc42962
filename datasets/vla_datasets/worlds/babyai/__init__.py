"""BabyAI demonstrations: 56x56 first-person pixels, an English mission, one of seven actions."""
