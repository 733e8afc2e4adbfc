"""The embedded demo: a small chat model, its data, and the script that makes them."""
