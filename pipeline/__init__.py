"""Compose the steps, record them in MLflow, and choose the greenest configuration."""
