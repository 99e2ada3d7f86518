"""How fast, punctual and light is the real product? Measured through its command line, beside peers.

`python -m benchmarks --help`; what the figures mean is in docs/benchmarks.md. Not part of the wheel.
"""
