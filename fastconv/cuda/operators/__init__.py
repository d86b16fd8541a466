"""Operators on arrays in a GPU's memory: they check, choose a kernel and launch it."""
