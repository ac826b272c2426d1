"""A gallery on disk that can be asked: by photos, by a description, by both."""
