"""tunedeck without a screen: recipes, models, data, memory, runs, training, chat and export."""

# The same as in pyproject.toml (a test compares them); importlib.metadata would cost 20 ms at every start.
__version__ = "0.1.0"
