"""Push-T with pictures."""
