"""How much shares swing from window to window, faster than demand does.

With q the shares of lines in windows and r what they are to be, the swing is the root mean square of what is left of
q / r when only the quick part of its spectrum is kept, from a quarter of the highest frequency up:

    swing = rms(quick(q / r - mean)),    noise = sqrt(3/4 * mean((1 - r) / (r * slots)))

Noise is what drawing the slots of each window at random would give: a swing is one only well above it. Cost:
O(lines * windows log windows).

References:
    Oppenheim & Schafer (2009), "Discrete-Time Signal Processing", chapter 8: the discrete Fourier transform.
"""

from __future__ import annotations

import numpy as np

from slatewise.core.columns import Numbers

QUICK = 0.25
"""Share of the spectrum, from below, that counts as slow."""


def quick(series: Numbers) -> Numbers:
    """Return (windows, lines) the quick part of each column.

    >>> quick(np.array([[0.0], [1.0], [0.0], [1.0]])).ravel().round(3).tolist()
    [-0.5, 0.5, -0.5, 0.5]
    """
    spectrum = np.fft.rfft(series - series.mean(axis=0), axis=0)
    spectrum[: int(np.ceil(QUICK * (len(spectrum) - 1)))] = 0
    return np.fft.irfft(spectrum, n=len(series), axis=0)


def swing(shares: Numbers, targets: Numbers) -> float:
    """Return the root mean square of the quick part of shares over targets.

    >>> swing(np.array([[0.4, 0.6], [0.6, 0.4]] * 4), np.array([0.5, 0.5])).__round__(3)
    0.2
    """
    return float(np.sqrt(np.square(quick(shares / targets)).mean()))


def noise(targets: Numbers, slots: float) -> float:
    """Return the swing of shares that are drawn slot by slot.

    >>> noise(np.array([0.5, 0.5]), 75.0)
    0.1
    """
    return float(np.sqrt((1 - QUICK) * ((1 - targets) / (targets * slots)).mean()))
