"""Factories of kernels: each module computes one thing, and knows neither shapes' checks nor whose arrays they are."""
