"""Bruna: person re-identification and pedestrian attributes as one reproducible pipeline."""
