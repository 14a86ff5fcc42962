"""What each node of a model is, by the rules of all operators together: refused, part of a table, or the host's.

It changes nothing. Not here: the rules of an operator (its file in `ops/`), what becomes of the nodes (`quantize/`,
`legalize/`).
"""
