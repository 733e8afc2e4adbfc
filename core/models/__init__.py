"""Where models come from (folder, cache, Hub, demo) and what one is."""
