"""The upper floor: the full-screen app and the command line."""
