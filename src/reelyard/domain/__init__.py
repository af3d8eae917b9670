"""The rules of compilations as plain values: jobs, media facts, timelines, plans, errors.

Standard library only; no I/O, no clock, no randomness. Everything above may import this.
"""
