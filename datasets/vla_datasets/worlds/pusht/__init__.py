"""Push-T: a T-shaped block to push onto its goal."""
