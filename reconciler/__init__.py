"""Keeps one Linux host the way a directory of Compose files says. Read `daemon/loop.py` first."""

__version__ = "0.1.0"
