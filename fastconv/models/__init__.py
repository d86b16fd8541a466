"""Models: layers strung together, trained, evaluated, saved and loaded, under Keras' names."""

from fastconv.models.lenet5 import LeNet5
from fastconv.models.model import Model
from fastconv.models.saving import load_model
from fastconv.models.sequential import Sequential

__all__ = ["LeNet5", "Model", "Sequential", "load_model"]
