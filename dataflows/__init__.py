"""The dataflows; the code of each reads like the diagram in its docstring."""
