"""Use cases: read a job, gather facts, plan, render, look after the cache, examine the machine.

No framework, no argv, no SQL. Everything below is handed in by ``bootstrap``.
"""
