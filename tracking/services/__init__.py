"""Every write about experiments, runs and logged models."""
