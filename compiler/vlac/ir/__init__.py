"""The device graph: integer tensors and the operations that the instructions carry out."""
