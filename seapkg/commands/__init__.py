"""The commands of `python -m seapkg`, a module for each group."""
