"""Trained networks as ONNX graphs, checked against torch, in a folder that needs nothing of this package."""
