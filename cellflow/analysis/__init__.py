"""Readings of a fitted dynamics: arrays in, arrays out."""
