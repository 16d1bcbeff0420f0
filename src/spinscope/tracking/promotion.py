"""Promotion of a registered version to the lab: gates, the alias `lab` and its history.

One operation of the registry moves the alias, so that it always points to a version. A record of
the move is written before it and confirmed after it. If a process is interrupted in between, the
alias shows whether the move took effect.
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
    """One move of the alias: action, versions, user, time, reason and gates."""

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
        """Reference that the lab uses."""
        return f"models:/{self.name}@{LAB}"


class PromotionRefused(SpinscopeError):
    """Refusal of a version that failed a gate; `gates` holds all of them."""

    def __init__(self, of: Version, gates: tuple[Gate, ...]):
        self.of, self.gates = of, gates
        failed = [gate for gate in gates if not gate.passed]
        super().__init__(
            f"{of.ref} is not promoted, {len(failed)} of {len(gates)} gates failed: "
            + "; ".join(f"{gate.name} ({_words(gate)})" for gate in failed)
        )

    def __reduce__(self):
        """Pickle by version and gates, so that a flow can pass the refusal between processes."""
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
        _reproduces(store, family, of),
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
    """Point `lab` to the version before the current one; repeated calls go further back.

    Parameters
    ----------
    store : Store
    name : str
        Registered name.
    reason : str
        At most 2000 characters.
    who : str, optional
        By default the user of this process.

    Raises
    ------
    SpinscopeError
        If there is no previous version, or it was deleted.
    """
    reason = _checked(reason)
    with store.locked(f"promotion-{name}"):
        lab = registry.current(store, name)
        before = _previous(history(store, name), lab.version if lab else None)
        if before is None:
            raise SpinscopeError(f"model {name!r} has no {LAB} version before the current one")
        target = registry.version(store, name, before)
        return _move(store, name, "rollback", target.version, reason, who)


def history(store: Store, name: str) -> list[Promotion]:
    """Every move of `lab`, oldest first, without interrupted ones that did not take effect."""
    steps = []
    for _, record, effective in _records(store, name):
        if effective:
            gates = tuple(Gate(**gate) for gate in record.pop("gates"))
            record.pop("state")
            steps.append(Promotion(name, **record, gates=gates))
    return steps


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
    name = f"mean {metric.title} against @{LAB}"
    key, key_sd = f"{metric.name}.mean", f"{metric.name}.sd"
    mean = of.number(key)
    if lab is None or lab.version == of.version:
        return Gate(name, f"no other version is @{LAB}", mean, None, mean is not None)
    lab_mean, rule = lab.number(key), f"within the seeds' spread of version {lab.version}"
    if of.tags.get("measured_on") != lab.tags.get("measured_on"):
        if measure is None:
            rule = f"version {lab.version} was measured on other data; measure it on these frames"
            return Gate(name, rule, mean, None, False)
        lab_mean = float(measure(registry.version_folder(store, lab)))
        rule += ", measured on these frames"
    sds = of.number(key_sd), lab.number(key_sd)
    if mean is None or lab_mean is None or None in sds:
        return Gate(name, f"both versions carry {key} and {key_sd}", mean, lab_mean, False)
    loss = spread * math.sqrt((sds[0] ** 2 + sds[1] ** 2) / 2)
    limit = lab_mean - loss if metric.maximise else lab_mean + loss
    return Gate(name, rule, mean, limit, mean >= limit if metric.maximise else mean <= limit)


def _reproduces(store: Store, family: Family, of: Version) -> Gate:
    """Mean difference between the stored predictions and those that the stored model now makes."""

    def gate(rule: str, differing: float | None = None) -> Gate:
        passed = differing is not None and differing <= TOLERANCE
        return Gate("reproduces its predictions", rule, differing, TOLERANCE, passed)

    try:
        stored = registry.stored_predictions(store, of)
        if not stored:
            return gate("the version holds stored predictions")
        folder = registry.version_folder(store, of)
        now = registry.predictions(family, folder, [image for image, _ in stored])
    except SpinscopeError as error:
        return gate(f"the stored model must load: {error}")
    pairs = [(output, old) for output, (_, old) in zip(now, stored, strict=True)]
    if any(output.shape != old.shape for output, old in pairs):
        return gate("masks must keep their shape")
    differences = [family.difference(*pair) for pair in pairs]
    return gate("differing pixels at most the limit", float(np.mean(differences)))


def _move(
    store: Store,
    name: str,
    action: str,
    target: int,
    reason: str,
    who: str | None,
    gates: tuple[Gate, ...] = (),
) -> Promotion:
    """Record the move, move the alias, confirm the record."""
    for key, record, effective in _records(store, name):  # of interrupted processes
        if record["state"] == "begun":
            _write(store, name, key, record, "done" if effective else "interrupted")
    lab = registry.current(store, name)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    before = lab.version if lab else None
    step = Promotion(name, action, before, target, who or _user(), when, reason, gates)
    if before == target:
        return step
    record = {field: value for field, value in asdict(step).items() if field != "name"}
    # A key of its own, so that two machines never overwrite each other's record.
    key = f"{_RECORD}{time.time_ns():020d}.{secrets.token_hex(4)}"
    _write(store, name, key, record, "begun")
    _set_alias(store, name, target)
    # The alias has moved: the next move confirms a record that cannot be confirmed now.
    with contextlib.suppress(SpinscopeError):
        _write(store, name, key, record, "done")
    return step


def _records(store: Store, name: str) -> list[tuple[str, dict[str, Any], bool]]:
    """(key, record, whether it took effect) of every move that was begun, oldest first."""
    lab = registry.current(store, name)
    with reachable(store.uri):
        tags = store.client.get_registered_model(name).tags
    keys = sorted(key for key in tags if key.startswith(_RECORD))
    records = [json.loads(tags[key]) for key in keys]
    return [
        (
            key,
            record,
            record["state"] == "done"
            or (
                record["state"] == "begun"
                and key == keys[-1]
                and lab is not None
                and lab.version == record["to_version"]
            ),
        )
        for key, record in zip(keys, records, strict=True)
    ]


def _write(store: Store, name: str, key: str, record: dict[str, Any], state: str) -> None:
    text = json.dumps({**record, "state": state}, ensure_ascii=False)
    with reachable(store.uri):
        store.client.set_registered_model_tag(name, key, text)


def _set_alias(store: Store, name: str, version: int) -> None:
    with reachable(store.uri):
        store.client.set_registered_model_alias(name, LAB, str(version))


def _previous(steps: list[Promotion], lab: int | None) -> int | None:
    """Version that `lab` pointed to before the current one.

    Promotions are pushed on a stack and rollbacks taken from it; a move that was not made by
    spinscope counts as a promotion.
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
    except (KeyError, OSError):  # a container may use a user number without a name
        return "unknown"


def _words(gate: Gate) -> str:
    if gate.measured is None or gate.limit is None:
        return gate.rule
    return f"{gate.measured:.4g}, limit {gate.limit:.4g}: {gate.rule}"
