"""Makes datasets from raw files, and surrogate features."""
