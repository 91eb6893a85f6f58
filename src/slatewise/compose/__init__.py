"""Layer 3: how should the whole page be put together?"""
