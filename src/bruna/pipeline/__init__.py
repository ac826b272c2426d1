"""What each stage keeps: models, tables and records on disk and in the stage's run."""
