"""Measurements, one question a file; ``python -m benchmarks`` answers them all and writes README's tables.

Each writes ``results/NAME.json``: its command, date, version, machine, the bundles it used, the figures.
"""
