"""The ONNX model as the passes read it. Not here: loading it (`import_onnx`), changing it (`rewrite`, `quantize`)."""
