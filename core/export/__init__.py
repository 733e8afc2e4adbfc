"""Take the result away: adapter, merged weights, GGUF, scripts, launch files."""
