"""Fates and couplings judged by clones that were kept out."""
