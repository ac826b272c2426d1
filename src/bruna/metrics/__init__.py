"""Numbers that say how good a prediction is: attributes, retrieval, segmentation. No tables, no paths."""
