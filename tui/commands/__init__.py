"""The command line, one file per group of commands.

Each file has `add_to(app)`, named once in `tui/commands/all.py`. A command is one thin function: options in, one call
of `core`, words or JSON out. It imports `core` inside the function, so that `--help` and `--version` stay light.
"""
