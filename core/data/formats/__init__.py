"""How each shape of record becomes a conversation."""
