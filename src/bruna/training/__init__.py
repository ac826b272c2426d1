"""One epoch loop with checkpoints and exact resume, and the three recipes that use it."""
