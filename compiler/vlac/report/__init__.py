"""Numbers and pages about a program."""
