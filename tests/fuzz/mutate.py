"""Changed copies of valid inputs: bytes, lines, and values of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VALUES = (
    None, "x", "", "../x", "/etc/passwd", -1, 0, 1, 2**31, 2**63, 10**30, 1e308, 0.5, True, [], {},
    [[]], [1, 2, 3, 4, 5, 6, 7, 8], float("nan"), float("inf"), "\ud800", "\0", "é" * 300, {"a": 1},
)  # fmt: skip
"""Values that replace one of a JSON file."""

WORDS = (
    "", "~", "x", "-1", "0", "1e400", ".nan", "-.inf", "2020-01-01", "2020-13-45", "!!bool x", "[",
    "!!binary x", "!!timestamp x", "!!int x", "!!set {a}", "!!omap [a]", "!!python/object:os.x y",
    "&a [*a]", "*a", "<<: 1", "{a: b}", "[a, b]", "'", '"', "|", "? x", "- x", "@", "`", "%", "0x",
    "0o9", "1:2:3", "1_000", "=", "!!float x", "{[a]: b}", "{? [a] : b}", "\udc80", "\0", "\x85",
    "1" * 4400, "[" * 3000, "{a: " * 500, "-" * 300, "a" * 5000, "null", "true", "1e3", "٣",
)  # fmt: skip
"""Texts that replace a value of YAML or of a table."""

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


def changed_bytes(body: bytes, rng: np.random.Generator) -> bytes:
    """Copy of a file with one to four changes, or random bytes."""
    if rng.random() < 0.05:
        return rng.bytes(int(rng.integers(0, 2000)))
    out = bytearray(body)
    for _ in range(rng.integers(1, 5)):
        at, end = sorted(rng.integers(0, len(out) + 1, 2).tolist())
        near = min(end, at + int(rng.integers(1, 64)))
        kind = rng.integers(8)
        if kind == 0:
            del out[at:]
        elif kind == 1:
            del out[at:near]
        elif kind == 2:
            out[at:at] = out[at:near] * int(rng.integers(1, 20))
        elif kind == 3:
            out[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 4:
            size = int(rng.choice([1, 2, 4, 8]))
            number = _NUMBERS[rng.integers(len(_NUMBERS))] % 2 ** (8 * size)
            order = "little" if rng.random() < 0.5 else "big"
            out[at : at + size] = number.to_bytes(size, order)
        elif out:  # most changes are of single bytes, early in the file half of the time
            limit = len(out) if kind < 7 else min(len(out), 256)
            out[int(rng.integers(limit))] = int(rng.integers(256))
    return bytes(out)


def changed_json(content: Any, rng: np.random.Generator) -> Any:
    """JSON value in which one value at any depth is replaced or one key is removed."""
    if rng.random() < 0.03:
        return VALUES[rng.integers(len(VALUES))]
    parents, found = [content], []
    while parents:
        parent = parents.pop()
        if not isinstance(parent, dict | list):
            continue
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        found += [(parent, key) for key in keys]
        parents += [parent[key] for key in keys]
    if found:
        parent, key = found[rng.integers(len(found))]
        if rng.random() < 0.2:
            del parent[key]
        else:
            parent[key] = VALUES[rng.integers(len(VALUES))]
    return content


def changed_text(text: str, rng: np.random.Generator, separators: str = ":,=") -> str:
    """Text in which the value of a line is replaced, or lines are removed, repeated or swapped."""
    lines = text.split("\n")
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(lines)))
        word = WORDS[rng.integers(len(WORDS))]
        marks = [k for k, letter in enumerate(lines[at]) if letter in separators]
        kind = rng.integers(6)
        if kind < 3 and marks:
            mark = marks[rng.integers(len(marks))]
            lines[at] = f"{lines[at][: mark + 1]} {word}"
        elif kind == 3:
            lines[at] = word
        elif kind == 4:
            del lines[at]
            lines = lines or [""]
        else:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[at])
    return "\n".join(lines)


def change_file(path: Path, rng: np.random.Generator) -> None:
    """Change a file in place, as its kind allows."""
    body = path.read_bytes()
    if rng.random() < 0.02:
        path.unlink()
    elif path.suffix == ".json" and rng.random() < 0.8 and (content := _parsed(body)) is not None:
        path.write_text(json.dumps(changed_json(content, rng)))
    elif path.suffix in (".csv", ".txt", ".yaml") and rng.random() < 0.7:
        text = changed_text(body.decode(errors="surrogateescape"), rng)
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    else:
        path.write_bytes(changed_bytes(body, rng))


def _parsed(body: bytes) -> Any:
    """JSON value; None where the file has been changed already."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
