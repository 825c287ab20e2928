"""The operators of ONNX that are read, each by the torch function that it is."""
