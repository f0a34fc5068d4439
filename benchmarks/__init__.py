"""Benchmarks: what satimnet does, side by side with how it is done without it."""
