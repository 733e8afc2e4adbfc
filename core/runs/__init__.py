"""A run is a folder: start, find, watch, stop, checkpoint, resume, compare."""
