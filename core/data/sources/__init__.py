"""How each kind of file gives its records by number, without being loaded whole."""
