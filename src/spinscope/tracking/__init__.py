"""Tracking: runs and their lineage, the model registry, and promotion to the lab."""

from spinscope.families import Gate
from spinscope.tracking.lineage import lineage
from spinscope.tracking.promotion import (
    MOVED,
    Promotion,
    PromotionRefused,
    check,
    history,
    promote,
    rollback,
)
from spinscope.tracking.registry import Version, compare, register, resolve, version, versions
from spinscope.tracking.runs import Run, over_seeds, parent_run, seed_run
from spinscope.tracking.store import Store, open_store

__all__ = [
    "MOVED",
    "Gate",
    "Promotion",
    "PromotionRefused",
    "Run",
    "Store",
    "Version",
    "check",
    "compare",
    "history",
    "lineage",
    "open_store",
    "over_seeds",
    "parent_run",
    "promote",
    "register",
    "resolve",
    "rollback",
    "seed_run",
    "version",
    "versions",
]
