"""From tables to tensors: decode once, augment a whole batch, draw items and tuples. No pandas here."""
