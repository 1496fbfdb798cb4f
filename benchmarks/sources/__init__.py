"""The same network from different files: speed, agreement, and what importing costs."""
