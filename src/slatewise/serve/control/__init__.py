"""Control: the loops of policies, over all workers."""
