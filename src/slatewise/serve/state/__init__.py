"""State: what one process knows of what all must remember."""
