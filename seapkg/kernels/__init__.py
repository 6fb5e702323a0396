"""Kernels: fast forms of equations. Each names its plain twin and is tested equal to it."""
