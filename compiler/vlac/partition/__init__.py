"""Host partitions: the model cut where the machine refuses nodes, device programs and ONNX models in turn."""

from vlac.partition.compile_partitions import compile_with_host

__all__ = ["compile_with_host"]
