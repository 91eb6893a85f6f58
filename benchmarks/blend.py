"""Layer 2 beside its goals: calibration, landscapes, shading, pacing, governance, each on the data that it names.

`python benchmarks/blend.py pace govern` prints some parts and writes nothing.
"""

from __future__ import annotations

import sys

import blend_calibrate
import blend_govern
import blend_landscape
import blend_pace
import blend_shade
from report import publish, show

PARTS = {
    "calibrate": blend_calibrate,
    "landscape": blend_landscape,
    "shade": blend_shade,
    "pace": blend_pace,
    "govern": blend_govern,
}

if __name__ == "__main__":
    if sys.argv[1:]:
        show([row for name in sys.argv[1:] for row in PARTS[name].rows()])
    else:
        publish("blend", [row for part in PARTS.values() for row in part.rows()])
