"""The door to AnnData: reading, checking and writing; nothing below this layer knows it."""
