"""Values that all layers share (populations, plans, frames, decoders, conditions), and the helpers below everything."""
