"""Layer 1: what is showing this item to this user worth?"""
