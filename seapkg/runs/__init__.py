"""Runs: their specification, the store of finished runs, and the training of missing ones."""
