"""Layer 2: which line gets this slot?"""
