"""The answering process and its client; evaluation of base against tuned."""
