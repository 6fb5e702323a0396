"""Fast forms of equations: each file names its plain twin first and is tested equal to it."""
