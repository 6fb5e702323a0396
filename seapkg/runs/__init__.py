"""Runs: what a run is, where finished runs live, and how missing ones are trained."""
