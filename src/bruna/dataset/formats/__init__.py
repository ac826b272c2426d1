"""What `bruna import` reads: one file a data format, listed in `known.py`; docs/how-to/new-format.md adds one."""
