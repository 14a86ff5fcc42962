"""What several operators share on their way to device operations; operators (`ops/`) import it, never the other way.

spec.py         what an operator is to the compiler: rules, how it is quantized, how it is lowered
context.py      what a lowering may use: known tensors, operands, results, the graph so far
quantized.py    reading scales, zero points and clamps of a QDQ model
the others      one lowering for several operators each: tables, two operands, moves, pools, sums, weights, ...
"""
