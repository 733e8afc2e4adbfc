"""What is wrong with a set, with its cause and its fix. One file per group of checks; `core.data.check` runs them."""
