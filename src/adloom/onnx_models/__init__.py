"""ONNX: export from torch, and inference with a fixed number of threads."""
