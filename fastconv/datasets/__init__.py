"""Handwritten digits to train on, in Keras' form: ``(x_train, y_train), (x_test, y_test)``.

``mnist`` reads files that are already on the disk, ``digits`` takes the 1,797 digits that come with
scikit-learn. Neither uses the network.
"""

from fastconv.datasets import digits, mnist

__all__ = ["digits", "mnist"]
