"""Experiments: what a run is, where finished runs are kept, and what is made of them."""
