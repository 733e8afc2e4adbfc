"""The Chat panel."""
