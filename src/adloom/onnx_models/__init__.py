"""ONNX export and inference."""
