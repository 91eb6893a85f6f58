"""What a decoder remembers of slots that were asked: keys and values, gathered for the next chains and stored again."""

from __future__ import annotations

import numpy as np

from slatewise.kernels.compiled import kernel

HIDDEN = np.float32(-np.inf)
"""What hides a slot from another."""


@kernel
def gathered(keys, values, asked, above):
    """Return keys and values (layers, b, heads, p, dh) of the prefixes of chains, each up to the last; zeros above.

    Args:
        keys: (layers, tokens, heads, dh) float32, what is remembered.
        values: The same.
        asked: `kernels.insertion_search.Asked`.
        above: p, slots of the longest prefix.
    """
    layers, _, heads, deep = keys.shape
    many = len(asked.first)
    own_keys = np.zeros((layers, many, heads, above, deep), np.float32)
    own_values = np.zeros((layers, many, heads, above, deep), np.float32)
    for layer in range(layers):
        for one in range(many):
            for slot in range(asked.first[one]):
                at, into = asked.above[one, slot], above - asked.first[one] + slot
                for head in range(heads):
                    for number in range(deep):
                        own_keys[layer, one, head, into, number] = keys[layer, at, head, number]
                        own_values[layer, one, head, into, number] = values[layer, at, head, number]
    return own_keys, own_values


@kernel
def masked(asked, windows, above, long):
    """Return (b, heads, s, p + s) float32: 0 where a slot of a chain may look at another, minus infinity where not.

    Args:
        asked: The chains.
        windows: (heads,) int64, slots that each head looks at, from the own one up.
        above: p, slots of the longest prefix.
        long: s, rows of the longest chain.
    """
    many = len(asked.first)
    mask = np.full((many, len(windows), long, above + long), HIDDEN, np.float32)
    for one in range(many):
        first = asked.first[one]
        for head in range(len(windows)):
            for step in range(long):
                slot = first + step
                for other in range(max(slot - windows[head] + 1, 0), first):
                    mask[one, head, step, above - first + other] = 0.0
                for other in range(max(step - windows[head] + 1, 0), step + 1):
                    mask[one, head, step, above + other] = 0.0
    return mask


@kernel
def stored(keys, values, asked, own_keys, own_values):
    """Remember (layers, b, heads, s, dh) keys and values of chains."""
    layers, _, heads, deep = keys.shape
    for layer in range(layers):
        for one in range(len(asked.first)):
            for step in range(asked.length[one]):
                at = asked.at[one, step]
                for head in range(heads):
                    for number in range(deep):
                        keys[layer, at, head, number] = own_keys[layer, one, head, step, number]
                        values[layer, at, head, number] = own_values[layer, one, head, step, number]


@kernel
def tokens_of(token, asked, long):
    """Return (b, s, e) float32: the tokens of rows in their slots, zeros after a chain's last.

    Args:
        token: (n, slots, e) float32.
        asked: The chains.
        long: s, rows of the longest chain.
    """
    found = np.zeros((len(asked.first), long, token.shape[2]), np.float32)
    for one in range(len(asked.first)):
        for step in range(asked.length[one]):
            source = token[asked.row[one, step], asked.first[one] + step]
            for number in range(token.shape[2]):
                found[one, step, number] = source[number]
    return found
