"""From a registered version to the one the lab uses: gates, the alias, and a true history.

The alias `lab` is moved by one operation of the registry, so it always points to a version. A
record of what is about to happen is written before that and confirmed after it; whoever dies in
between leaves a record from which the alias itself tells whether it took effect.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.families import Family, Gate, Metric
from spinscope.tracking import registry
from spinscope.tracking.registry import LAB, Version
from spinscope.tracking.store import Store, reachable

_RECORD = "promotion."
_MAX_REASON = 2000
TOLERANCE = 1e-4
"""Largest `Family.difference` between stored and repeated predictions."""

Measure = Callable[[Path], float]
"""Model folder → headline metric on the candidate's validation frames."""


@dataclass(frozen=True)
class Promotion:
    """One step of the alias: who moved it when, why, from which version to which."""

    name: str
    action: str
    from_version: int | None
    to_version: int
    who: str
    when: str
    reason: str
    gates: tuple[Gate, ...] = ()

    @property
    def ref(self) -> str:
        """The reference that the lab uses."""
        return f"models:/{self.name}@{LAB}"


class PromotionRefused(SpinscopeError):
    """A version did not pass its gates; `gates` is the whole table."""

    def __init__(self, of: Version, gates: tuple[Gate, ...]):
        self.of, self.gates = of, gates
        failed = [gate for gate in gates if not gate.passed]
        super().__init__(
            f"{of.ref} is not promoted, {len(failed)} of {len(gates)} gates failed: "
            + "; ".join(f"{gate.name} ({_words(gate)})" for gate in failed)
        )

    def __reduce__(self):
        """Rebuild from version and gates: what a flow hands between processes is pickled."""
        return type(self), (self.of, self.gates)


def check(
    store: Store, family: Family, of: Version, params: Params, *, measure: Measure | None = None
) -> tuple[Gate, ...]:
    """Measure every gate of a version against the limits and the current `lab` version.

    Parameters
    ----------
    store : Store
    family : Family
        Headline metric, further gates and how a model is applied.
    of : Version
    params : Params
        Limits of the gates.
    measure : callable, optional
        See `promote`.
    """
    lab, metric, gates = registry.current(store, of.name), family.metric, params.gates
    limit = Gate.at_least if metric.maximise else Gate.at_most
    mean = of.number(f"{metric.name}.mean")
    return (
        _validated(of),
        limit(f"mean {metric.title} over seeds", mean, gates.metric_limit),
        _not_worse(store, metric, of, lab, gates.metric_spread, measure),
        *family.gates(of.number, params),
        Gate.at_most("frame time in ms", of.number("frame_ms"), gates.max_frame_ms),
        _reproduces(store, family, of, TOLERANCE),
    )


def promote(
    store: Store,
    family: Family,
    name: str,
    version: int | None = None,
    *,
    reason: str,
    params: Params,
    who: str | None = None,
    measure: Measure | None = None,
) -> Promotion:
    """Point `models:/NAME@lab` to a version that passes every gate.

    Promoting the current lab version changes nothing.

    Parameters
    ----------
    store : Store
    family : Family
        See `check`.
    name : str
        Registered name.
    version : int, optional
        By default the newest.
    reason : str
        At most 2000 characters.
    params : Params
        Limits of the gates.
    who : str, optional
        By default the user of this process.
    measure : callable, optional
        Returns the headline metric of the current lab version on the candidate's validation
        frames. Needed only if the two were measured on different data or in different ways.

    Raises
    ------
    PromotionRefused
        If a gate fails; holds the table of gates.
    SpinscopeError
        If the name or version is unknown, or the reason is empty.
    """
    reason = _checked(reason)
    with store.locked(f"promotion-{name}"):
        of = registry.version(store, name, version)
        table = check(store, family, of, params, measure=measure)
        if not all(gate.passed for gate in table):
            raise PromotionRefused(of, table)
        return _move(store, name, "promote", of.version, reason, who, table)


def rollback(store: Store, name: str, *, reason: str, who: str | None = None) -> Promotion:
    """Point `lab` at the version it pointed to before; repeated, it goes further back.

    Raises SpinscopeError where there is no version before, or it has been deleted.
    """
    reason = _checked(reason)
    with store.locked(f"promotion-{name}"):
        lab = registry.current(store, name)
        before = _before(history(store, name), lab.version if lab else None)
        if before is None:
            raise SpinscopeError(f"model {name!r} has no {LAB} version before the current one")
        target = registry.version(store, name, before)
        return _move(store, name, "rollback", target.version, reason, who)


def history(store: Store, name: str) -> list[Promotion]:
    """Every step of `lab`, oldest first; steps that died before they took effect are left out."""
    lab = registry.current(store, name)
    records = _records(store, name)
    took_effect = [
        record
        for number, (_, record) in enumerate(records)
        if record["state"] == "done"
        or (
            record["state"] == "begun"
            and number == len(records) - 1
            and lab is not None
            and lab.version == record["to_version"]
        )
    ]
    return [_step(name, record) for record in took_effect]


def _validated(of: Version) -> Gate:
    passed = of.tags.get("data.validated") == "true"
    return Gate("validated data", "the data passed validation", float(passed), 1.0, passed)


def _not_worse(
    store: Store,
    metric: Metric,
    of: Version,
    lab: Version | None,
    spread: float,
    measure: Measure | None,
) -> Gate:
    """Mean metric no worse than the lab's by more than `spread` pooled SD over the seeds.

    .. math:: M \\ge M_{lab} - s \\sqrt{(\\sigma^2 + \\sigma_{lab}^2) / 2}
    """
    what = f"mean {metric.title} against @{LAB}"
    key, key_sd = f"{metric.name}.mean", f"{metric.name}.sd"
    mean = of.number(key)
    if lab is None or lab.version == of.version:
        return Gate(what, f"no other version is @{LAB}", mean, None, mean is not None)
    lab_mean, rule = lab.number(key), f"within the seeds' spread of version {lab.version}"
    if of.tags.get("measured_on") != lab.tags.get("measured_on"):
        if measure is None:
            rule = f"version {lab.version} was measured on other data; measure it on these frames"
            return Gate(what, rule, mean, None, False)
        lab_mean = float(measure(registry.version_folder(store, lab)))
        rule += ", measured on these frames"
    sds = of.number(key_sd), lab.number(key_sd)
    if mean is None or lab_mean is None or None in sds:
        return Gate(what, f"both versions carry {key} and {key_sd}", mean, lab_mean, False)
    loss = spread * math.sqrt((sds[0] ** 2 + sds[1] ** 2) / 2)
    if metric.maximise:
        return Gate(what, rule, mean, lab_mean - loss, mean >= lab_mean - loss)
    return Gate(what, rule, mean, lab_mean + loss, mean <= lab_mean + loss)


def _reproduces(store: Store, family: Family, of: Version, tolerance: float) -> Gate:
    """Mean difference between the stored predictions and those that the stored model now makes."""
    what, rule = "reproduces its predictions", "differing pixels at most the limit"
    try:
        stored = registry.stored_predictions(store, of)
        if not stored:
            return Gate(what, "the version holds stored predictions", None, tolerance, False)
        folder = registry.version_folder(store, of)
        now = registry.predictions(family, folder, [image for image, _ in stored])
    except SpinscopeError as error:
        return Gate(what, f"the stored model must load: {error}", None, tolerance, False)
    pairs = [(output, old) for output, (_, old) in zip(now, stored, strict=True)]
    if any(np.shape(output) != np.shape(old) for output, old in pairs):
        return Gate(what, "masks must keep their shape", None, tolerance, False)
    differing = float(np.mean([family.difference(*pair) for pair in pairs]))
    return Gate(what, rule, differing, tolerance, differing <= tolerance)


def _move(
    store: Store,
    name: str,
    action: str,
    target: int,
    reason: str,
    who: str | None,
    gates: tuple[Gate, ...] = (),
) -> Promotion:
    """Record what begins, move the alias, confirm the record."""
    _settle(store, name)
    lab = registry.current(store, name)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    before = lab.version if lab else None
    step = Promotion(name, action, before, target, who or _user(), when, reason, gates)
    if before == target:
        return step
    record = {
        "action": action,
        "from_version": before,
        "to_version": target,
        "who": step.who,
        "when": when,
        "reason": reason,
        "gates": [asdict(gate) for gate in gates],
    }
    # A key of its own, so that two machines never overwrite each other's record.
    key = f"{_RECORD}{time.time_ns():020d}.{secrets.token_hex(4)}"
    _write(store, name, key, {**record, "state": "begun"})
    _set_alias(store, name, target)
    # The alias has moved: a record that cannot be confirmed now is settled by the next step.
    with contextlib.suppress(SpinscopeError):
        _write(store, name, key, {**record, "state": "done"})
    return step


def _settle(store: Store, name: str) -> None:
    """Confirm, or mark as interrupted, what an earlier process began and did not confirm."""
    lab = registry.current(store, name)
    records = _records(store, name)
    for number, (key, record) in enumerate(records):
        if record["state"] == "begun":
            newest = number == len(records) - 1
            took = newest and lab is not None and lab.version == record["to_version"]
            _write(store, name, key, {**record, "state": "done" if took else "interrupted"})


def _step(name: str, record: dict[str, Any]) -> Promotion:
    known = {key: value for key, value in record.items() if key not in ("state", "gates")}
    return Promotion(name, **known, gates=tuple(Gate(**gate) for gate in record["gates"]))


def _records(store: Store, name: str) -> list[tuple[str, dict[str, Any]]]:
    """(key, record) of every step that was begun, oldest first."""
    with reachable(store.uri):
        tags = store.client.get_registered_model(name).tags
    return [(key, json.loads(tags[key])) for key in sorted(tags) if key.startswith(_RECORD)]


def _write(store: Store, name: str, key: str, record: dict[str, Any]) -> None:
    with reachable(store.uri):
        store.client.set_registered_model_tag(name, key, json.dumps(record, ensure_ascii=False))


def _set_alias(store: Store, name: str, version: int) -> None:
    with reachable(store.uri):
        store.client.set_registered_model_alias(name, LAB, str(version))


def _before(steps: list[Promotion], lab: int | None) -> int | None:
    """The version that `lab` pointed to before its present one.

    Promotions stack up and rollbacks take one off; a move made outside spinscope counts as one.
    """
    stack: list[int] = []
    for step in steps:
        if step.from_version is not None and stack[-1:] != [step.from_version]:
            stack.append(step.from_version)
        if step.action == "rollback" and stack:
            stack.pop()
        if stack[-1:] != [step.to_version]:
            stack.append(step.to_version)
    if stack[-1:] == [lab]:
        stack.pop()
    return stack[-1] if stack else None


def _checked(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= _MAX_REASON:
        raise SpinscopeError(
            f"reason ({len(reason)} characters) must say why, in at most {_MAX_REASON}"
        )
    return reason


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return "unknown"


def _words(gate: Gate) -> str:
    if gate.measured is None or gate.limit is None:
        return gate.rule
    return f"{gate.measured:.4g}, limit {gate.limit:.4g}: {gate.rule}"
