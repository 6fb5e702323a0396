"""Preparation: raw files to a dataset, and surrogate features. Used once per dataset."""
