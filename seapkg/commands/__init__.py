"""The commands of `python -m seapkg`, one module per group."""
