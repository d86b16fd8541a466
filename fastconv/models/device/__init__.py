"""Models on a GPU: their layers with weights there, replayed predictions, and steps of optimizers."""
