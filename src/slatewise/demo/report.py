def require(): pass
def write(o,p): pass
