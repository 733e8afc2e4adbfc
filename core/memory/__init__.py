"""What a run needs in memory, what is there, and what would make it fit."""
