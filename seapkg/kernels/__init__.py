"""Kernels: fast forms of equations. Each file names its plain twin first and is tested equal to it."""
