"""Trained networks over images: a loader and a file for each network, and one object that runs them all."""
