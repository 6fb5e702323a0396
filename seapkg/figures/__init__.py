"""Figures: one style, the plots, and the gallery that indexes them."""
