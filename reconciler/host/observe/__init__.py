"""Reads the host into Observed."""
