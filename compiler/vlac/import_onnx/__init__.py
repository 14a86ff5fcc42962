"""Reading an ONNX file: what is wrong with it is said here, before any pass runs."""

from vlac.import_onnx.load import load_model, parse_model, parse_open_model

__all__ = ["load_model", "parse_model", "parse_open_model"]
