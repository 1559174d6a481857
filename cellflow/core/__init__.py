"""Populations, plans, frames, decoders and conditions, and the helpers of all other layers."""
