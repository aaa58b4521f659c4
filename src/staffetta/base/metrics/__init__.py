"""Metrics for Prometheus: who may read them, what is gathered, and the text that it becomes."""
