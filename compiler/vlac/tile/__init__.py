"""How each operation is cut: packed weights and parameters, bands of rows, chunks of output blocks, stages."""
