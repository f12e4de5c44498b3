"""Other systems, driven as their own guides say."""
