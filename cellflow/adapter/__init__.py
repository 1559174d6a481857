"""AnnData: read, checked and written here; no lower layer uses it."""
