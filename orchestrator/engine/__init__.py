"""Decides when and whether: scheduler, dispatcher, maintenance, lifecycle. Runs no user code and no SQL."""
