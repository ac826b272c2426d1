"""What a stage leaves behind: models, curves, tables and pictures, on disk and in the stage's run."""
