"""Measurements of keyturn and of its peers, in one run: `python -m benchmarks` (`make bench`).

Each module measures one thing and gives parts of `results.json`; `results` is the schema of all.
"""
