"""Write the README's tables from `results/*.json`; run by every `make bench-...`."""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"


def table() -> str:
    """Return one table for each family that has results."""
    parts = []
    for path in sorted((HERE / "results").glob("*.json")):
        rows = json.loads(path.read_text())
        lines = [
            f"`make bench-{path.stem}`:",
            "",
            "| what | goal | measured | peer, same run | |",
            "|---|---|---|---|---|",
        ]
        for row in rows:
            cells = [row["target"], row["goal"], row["measured"], row["peer"], "ok" if row["ok"] else "short"]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def with_tables(readme: str) -> str:
    """Return the README's text with its tables as the results say."""
    fresh = f"{BEGIN}\n{table()}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: fresh, readme, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
