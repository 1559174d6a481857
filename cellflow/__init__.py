"""cellflow: single-cell trajectory inference from time-labelled snapshots."""

__version__ = "0.1.0"
