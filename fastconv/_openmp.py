"""Loads the compiled module, after deciding how long OpenMP's idle workers spin.

Between two parallel regions libgomp's workers spin, by default for 300,000 turns, some ten milliseconds. That is longer
than a LeNet-5 training step takes, and when other processes want the same cores every turn is stolen from the thread
that has the work: an epoch on two threads of a busy machine took 20 times as long as with 2,000 turns, after which a
worker sleeps. Whoever sets OMP_WAIT_POLICY or GOMP_SPINCOUNT has decided already.
"""

from __future__ import annotations

import os

SPINS = "2000"

if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
    from fastconv import _core
else:
    os.environ["GOMP_SPINCOUNT"] = SPINS  # read once, when the library is loaded
    try:
        from fastconv import _core
    finally:
        del os.environ["GOMP_SPINCOUNT"]

__all__ = ["_core"]
