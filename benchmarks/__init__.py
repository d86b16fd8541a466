"""How fast fastconv is, and what else is installed: ``pytest --benchmark``, then ``python benchmarks/table.py``."""
