"""What is on disk: the attribute schema, importers, the sample, validation, the split, image tables."""
