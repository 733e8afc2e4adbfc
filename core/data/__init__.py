"""Rows become conversations, renderings, examples and batches; findings and statistics."""
