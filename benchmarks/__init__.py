"""Measurements of keyturn and of its peers, in one run: `python -m benchmarks` (`make bench`).

Each module measures one thing and returns parts of `results.json`. `results` has the schema of all parts.
"""
