"""tunedeck without a screen: recipes, models, data, memory, runs, training, chat and export."""
