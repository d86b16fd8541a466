"""What is timed and how: ``fastconv bench`` and ``pytest --benchmark`` run the same layers against the same peers."""
