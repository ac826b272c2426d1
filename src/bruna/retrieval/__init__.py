"""Retrieval: distances between embeddings, exact ranks, protocols and re-ranking.

Needs torch and numpy only, runs on a CPU or a GPU, and never holds a whole query x gallery matrix.
"""
