"""Checks of `make lint` that need more than one command."""
