"""One epoch loop with checkpoints and exact resume, and the three programmes that use it."""
