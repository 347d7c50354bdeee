"""Compose the steps, record them in MLflow, and choose the greenest configuration."""

__version__ = "0.1.0"
