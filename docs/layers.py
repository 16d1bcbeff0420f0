"""Draw the layers of the package from the import contract in pyproject.toml.

`python docs/layers.py` writes `docs/images/layers.svg`; a test compares the two.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SVG = ROOT / "docs/images/layers.svg"
WIDTH, ROW, GAP, LEFT = 760, 34, 8, 120  # px
GROUPS = {  # label beside the layers from this one downwards
    "flows": "Entry points",
    "studies": "Applications",
    "tracking": "Services",
    "families": "Models and scores",
    "corpora": "Physics and data",
    "config": "Foundations",
}
COLOURS = {"flows": "#2a6f97", "studies": "#3f86ad", "tracking": "#5b9bbd", "families": "#7db1cc"}
COLOURS |= {"corpora": "#a3c8db", "config": "#c9dfea"}


def layers(pyproject: Path = ROOT / "pyproject.toml") -> list[list[str]]:
    """Read the layers from the contract, top first; packages of one layer share a list."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    contract = next(one for one in contracts if one["type"] == "layers")
    return [
        ["flows", "dashboards"],
        *([n.strip() for n in row.split("|")] for row in contract["layers"]),
    ]


def drawing(rows: list[list[str]]) -> str:
    """Draw one band per layer as SVG; a layer imports only the layers below it."""
    height = len(rows) * (ROW + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="14">',
        "<title>Layers of spinscope: each layer imports only the layers below it</title>",
    ]
    colour = "#2a6f97"
    for i, names in enumerate(rows):
        y = GAP + i * (ROW + GAP)
        for name in names:
            if name in GROUPS:
                colour = COLOURS[name]
                parts.append(
                    f'<text x="{LEFT - 10}" y="{y + 22}" text-anchor="end" fill="#5b6770" '
                    f'font-size="12">{escape(GROUPS[name])}</text>'
                )
        width = (WIDTH - LEFT - GAP * len(names)) / len(names)
        dark = colour in ("#2a6f97", "#3f86ad", "#5b9bbd")
        for k, name in enumerate(names):
            x = LEFT + k * (width + GAP)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" rx="4" '
                f'fill="{colour}"/>'
                f'<text x="{x + width / 2:.1f}" y="{y + 22}" text-anchor="middle" '
                f'fill="{"#ffffff" if dark else "#10222e"}">{escape(name)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    SVG.write_text(drawing(layers()))
    print(SVG.relative_to(ROOT))
