"""Runs: what a run is, where finished runs are kept, and how to ask for one."""
