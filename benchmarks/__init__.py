"""Benchmarks: one script a question, results as ratios against a baseline of the same run."""
