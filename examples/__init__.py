"""Runnable examples: a shop on one machine, the demo, an embedding."""
