"""The whole way on one small task, and the page that shows it.

Not here: the work itself, which the commands of `vla-collect`, `vla-train`, `vlac` and `vlarun` do as well.
"""
