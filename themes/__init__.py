"""Colour themes and the stylesheet, as files."""
