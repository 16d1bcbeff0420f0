"""Promotion of a registered version to the lab: gates, the alias `lab` and its history.

One operation of the registry moves the alias, so that it always points to a version. A record of
the move is written before it and confirmed after it. If a process is interrupted in between, the
alias shows whether the move took effect. Moves on several machines exclude each other by these
records: whoever sees the unconfirmed record of another withdraws its own and waits.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spinscope.config import Params
from spinscope.errors import SpinscopeError
from spinscope.evaluation.intervals import Interval, interval, paired
from spinscope.families import Family, Gate, Quantity
from spinscope.files import digest
from spinscope.processes import dead, this_process, this_user
from spinscope.tracking import registry
from spinscope.tracking.registry import LAB, RECORD, Version
from spinscope.tracking.store import Store, reachable

_MAX_REASON = 2000
_MOVE_SECONDS = 30.0
"""Time after which the unconfirmed move of another machine counts as interrupted."""
TOLERANCE = 1e-4
"""Largest `Family.difference` between stored and repeated predictions."""
MOVED = "moved outside the gates"
"""Action of a move of the alias that spinscope did not make."""

ONE_SOURCE = "the frames are of one source, so the spread is unknown; at least two are needed"

Measure = Callable[[Version], Mapping[str, Any]]
"""Version → report of its network on the validation frames of the settings."""


@dataclass(frozen=True)
class Promotion:
    """One move of the alias: action, versions, user, time, reason and gates.

    `policy` is the digest of the limits; `override` is the reason for a promotion although gates
    failed, empty without one. The move of an alias that spinscope did not make has no user and no
    time.
    """

    name: str
    action: str
    from_version: int | None
    to_version: int
    who: str
    when: str
    reason: str
    gates: tuple[Gate, ...] = ()
    policy: str = ""
    override: str = ""

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
    store: Store,
    family: Family,
    of: Version,
    params: Params,
    *,
    measure: Measure,
    frame_ratio: Callable[[Version], float],
) -> tuple[Gate, ...]:
    """Measure every gate of a version against the limits and the best version of the lab.

    Parameters
    ----------
    store : Store
    family : Family
        Quantities that gates judge, and how a model is applied.
    of : Version
    params : Params
        Limits of the gates.
    measure : callable
        Version → report of its network on the validation frames, with `per_image` rows that hold
        `source` and `seen_in_training`.
    frame_ratio : callable
        Version → time of a frame relative to a reference network in the same run.
    """
    intact = registry.intact(store, of)
    if intact is not None:
        return (Gate("stored network", intact, None, None, False),)
    report, quantities = measure(of), family.quantities(params)
    slow = frame_ratio(of)
    limit = params.gates.max_frame_ratio
    return (
        _validated(of),
        _unseen(report),
        *(_within(quantity, report, params.gates.confidence) for quantity in quantities
          if quantity.limit is not None),
        *_not_worse(store, of, quantities, report, measure, params.gates.confidence),
        Gate("frame time", "times that of the reference network, at most the limit", slow, limit,
             slow <= limit),
        reproduces(store, family, of),
    )  # fmt: skip


def promote(
    store: Store,
    family: Family,
    name: str,
    version: int | None = None,
    *,
    reason: str,
    params: Params,
    measure: Measure,
    frame_ratio: Callable[[Version], float],
    who: str | None = None,
    override: str | None = None,
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
    measure, frame_ratio : callable
        See `check`.
    who : str, optional
        By default the user of this process.
    override : str, optional
        Reason to promote although gates fail; the history records it. A version whose stored
        network is not the registered one is refused all the same.

    Raises
    ------
    PromotionRefused
        If a gate fails; holds the table of gates.
    SpinscopeError
        If the name or version is unknown, or a reason is empty.
    """
    reason = _checked(reason)
    override = "" if override is None else _checked(override)
    with store.locked(f"promotion-{name}"):
        while True:
            lab = registry.current(store, name)
            of = registry.version(store, name, version)
            table = check(store, family, of, params, measure=measure, frame_ratio=frame_ratio)
            failed = [gate for gate in table if not gate.passed]
            if failed and (not override or registry.intact(store, of)):
                raise PromotionRefused(of, table)
            step = _move(
                store, name, "promote", lab, of.version, reason, who, table,
                policy=digest(params.model_dump(mode="json", include={"gates", "evaluation"})),
                override=override if failed else "",
            )  # fmt: skip
            if step is not None:
                return step


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
        while True:
            lab = registry.current(store, name)
            before = _previous(history(store, name), lab.version if lab else None)
            if before is None:
                raise SpinscopeError(f"model {name!r} has no {LAB} version before the current one")
            target = registry.version(store, name, before)
            step = _move(store, name, "rollback", lab, target.version, reason, who)
            if step is not None:
                return step


def history(store: Store, name: str) -> list[Promotion]:
    """Every move of `lab`, oldest first, without interrupted ones that did not take effect.

    A version that the alias points to without a record is a step with the action `MOVED`.
    """
    steps: list[Promotion] = []

    def moved_to(version: int | None) -> None:
        before = steps[-1].to_version if steps else None
        if version is not None and version != before:
            why = "no command of spinscope made this move"
            steps.append(Promotion(name, MOVED, before, version, "unknown", "", why))

    for _, record, effective in _records(store, name):
        if effective:
            gates = tuple(Gate(**gate) for gate in record.pop("gates"))
            for key in ("state", "process"):
                record.pop(key, None)
            moved_to(record["from_version"])
            steps.append(Promotion(name, **record, gates=gates))
    lab = registry.current(store, name)
    moved_to(lab.version if lab else None)
    return steps


def _validated(of: Version) -> Gate:
    passed = of.tags.get("data.validated") == "true"
    return Gate("validated data", "the data passed validation", float(passed), 1.0, passed)


def _unseen(report: Mapping[str, Any]) -> Gate:
    """No validation frame was in the training."""
    seen = report.get("seen_in_training")
    rule = f"of {report['n_images']} validation frames were seen in training; none may be"
    if seen is None:
        rule = "the model folder must list its training frames"
    return Gate("unseen frames", rule, seen, 0, seen == 0)


def _within(quantity: Quantity, report: Mapping[str, Any], confidence: float) -> Gate:
    """The interval of a quantity over the sources keeps its limit."""
    name, limit, better = quantity.title, quantity.limit, quantity.maximise
    values = list(quantity.per_source(report["per_image"]).values())
    if not values:
        return Gate(name, "is defined on no validation frame", None, limit, False)
    found = interval(values, confidence, lowest=quantity.lowest, highest=quantity.highest)
    bound = found.low if better else found.high
    passed = bound is not None and (bound >= limit if better else bound <= limit)
    rule = "lower confidence limit at least the limit"
    if not better:
        rule = "upper confidence limit at most the limit"
    if not passed and bound is not None and (found.value > limit) == better:
        rule += _too_wide(found, abs(found.value - limit), report, upper=not better)
    elif bound is None:
        rule = ONE_SOURCE
    return Gate(name, rule, found.value, limit, passed, found.low, found.high)


def _too_wide(
    found: Interval, distance: float, report: Mapping[str, Any], *, upper: bool = False
) -> str:
    """End of a rule: the interval is too wide, and how many sources would do."""
    sources = found.needed(distance, upper=upper)
    if sources is None:
        return ""
    frames = math.ceil(sources * report["n_images"] / found.n)
    return f"; too wide to tell, about {sources} sources ({frames} frames) would do"


def _not_worse(
    store: Store,
    of: Version,
    quantities: Sequence[Quantity],
    report: Mapping[str, Any],
    measure: Measure,
    confidence: float,
) -> list[Gate]:
    """Non-inferiority to the best version that the lab has had, on frames that neither saw.

    .. math:: \\mathrm{low}(M - M_{best}) \\ge -\\delta
    """
    headline = quantities[0]
    compared = [quantity for quantity in quantities if quantity.margin is not None]
    if not compared:
        return []
    best, why = _best_of_lab(store, of, headline, measure)
    if best is None:
        passed = not why
        rule = why or "there is no other version of the lab to compare with"
        return [Gate(f"{headline.title} against the lab", rule, None, None, passed)]
    version, reference = best
    by = _optimism(of, report) - _optimism(version, reference)
    return [
        not_worse(
            quantity,
            report,
            reference,
            confidence,
            name=f"{quantity.title} against version {version.version}",
            optimism=by if quantity is headline else 0.0,
        )
        for quantity in compared
    ]


def not_worse(
    quantity: Quantity,
    report: Mapping[str, Any],
    reference: Mapping[str, Any],
    confidence: float,
    *,
    name: str,
    optimism: float = 0.0,
) -> Gate:
    """Gate on the gain of a model over a reference, on frames that neither was trained on.

    Parameters
    ----------
    quantity : Quantity
        With the `margin` by which the model may be worse.
    report, reference : mapping
        Reports of the two models on the same frames.
    confidence : float
        Probability with which the true gain lies above the lower limit of its interval.
    name : str
        Name of the gate.
    optimism : float, default 0
        Part of the gain that stems from the choice of the best seed on these frames.
    """
    rows, others = _unseen_by_both(report, reference)
    limit, gain = -float(quantity.margin or 0), paired(quantity, rows, others, confidence)
    if gain is None:
        return Gate(name, "there is no frame that neither of the two saw", None, limit, False)
    low, high = (end if end is None else end - optimism for end in (gain.low, gain.high))
    value = gain.value - optimism
    passed = low is not None and low >= limit
    rule = "lower confidence limit of the gain at least the limit"
    if low is None:
        rule = ONE_SOURCE
    elif not passed and value > limit:
        rule += _too_wide(gain, value - limit, report)
    return Gate(name, rule, value, limit, passed, low, high)


def _best_of_lab(
    store: Store, of: Version, headline: Quantity, measure: Measure
) -> tuple[tuple[Version, Mapping[str, Any]] | None, str]:
    """The version with the best score of all that were `lab`; or why there is none.

    Versions that were deleted, or of which every frame was seen in training, are left out.
    """
    lab = registry.current(store, of.name)
    existing = {version.version: version for version in registry.every(store, of.name)}
    had = {step.to_version for step in history(store, of.name)} - {of.version}
    best, best_value = None, -math.inf
    for number in sorted(had & set(existing)):
        version = existing[number]
        current = lab is not None and lab.version == number
        if problem := registry.intact(store, version):
            if current:
                return None, problem
            continue
        report = measure(version)
        if report.get("seen_in_training") is None:
            if current:
                return None, (
                    f"version {number} (@{LAB}) lists no training frames, so that it cannot be "
                    "compared"
                )
            continue
        rows = [row for row in report["per_image"] if not row["seen_in_training"]]
        values = list(headline.per_source(rows).values())
        if not values:
            if current:
                return None, f"version {number} (@{LAB}) was trained on all of these frames"
            continue
        value = float(np.mean(values)) * (1 if headline.maximise else -1)
        if value > best_value:
            best, best_value = (version, report), value
    return best, ""


def _unseen_by_both(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[list, list]:
    """Rows per image of two reports, of the frames that neither model was trained on."""
    seen = {
        row["name"]
        for report in (ours, theirs)
        for row in report["per_image"]
        if row["seen_in_training"]
    }
    return tuple(
        [row for row in report["per_image"] if row["name"] not in seen] for report in (ours, theirs)
    )


def _optimism(of: Version, report: Mapping[str, Any]) -> float:
    """Gain of the choice of the best seed, if it was chosen on the frames of the report."""
    if of.tags.get("evidence.frames") != report.get("evidence", {}).get("frames"):
        return 0.0
    return of.number("optimism") or 0.0


def reproduces(store: Store, family: Family, of: Version) -> Gate:
    """Gate on the difference between the stored predictions and those the stored model now makes.

    Parameters
    ----------
    store : Store
    family : Family
        How the model is applied.
    of : Version
    """

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
        return gate("outputs must keep their shape")
    differences = [family.difference(*pair) for pair in pairs]
    return gate(
        "difference from the stored predictions at most the limit", float(np.mean(differences))
    )


def _move(
    store: Store,
    name: str,
    action: str,
    lab: Version | None,
    target: int,
    reason: str,
    who: str | None,
    gates: tuple[Gate, ...] = (),
    policy: str = "",
    override: str = "",
) -> Promotion | None:
    """Record the move, move the alias, confirm the record.

    None if another machine has moved the alias since it pointed to `lab`.
    """
    before, who = lab.version if lab else None, who or this_user()
    while True:
        last = _settle(store, name)
        if _number(store, name) != before:
            return None
        when = datetime.now(UTC).isoformat(timespec="seconds")
        step = Promotion(name, action, before, target, who, when, reason, gates, policy, override)
        # A move around the gates is recorded as passed, although the alias stays.
        if before == target and registry.moved_outside(store, name) is None:
            return step
        record = {field: value for field, value in asdict(step).items() if field != "name"}
        record["process"] = this_process()
        # A key of its own, so that two machines never overwrite each other's record; later than
        # the last one, also where the clock was set back.
        key = f"{RECORD}{max(time.time_ns(), last + 1):020d}.{secrets.token_hex(4)}"
        _write(store, name, key, record, "begun")
        if _alone(store, name, key) and _number(store, name) == before:
            break
        _write(store, name, key, record, "interrupted")
        time.sleep(random.random())
    _set_alias(store, name, target)
    # The alias has moved: the next move confirms a record that cannot be confirmed now.
    with contextlib.suppress(SpinscopeError):
        _write(store, name, key, record, "done")
    return step


def _settle(store: Store, name: str) -> int:
    """Confirm or withdraw the records of interrupted moves; returns the time in the last key.

    A move of another process that runs, or of another machine, is waited for.
    """
    seen: dict[str, float] = {}
    while True:
        waiting, records = False, _records(store, name)
        for key, record, effective in records:
            if record["state"] != "begun":
                continue
            process, now = record.get("process", ""), time.monotonic()
            # In this process the lock of the store excludes other moves.
            ended = process == this_process() or dead(process)
            if ended or now - seen.setdefault(key, now) > _MOVE_SECONDS:
                _write(store, name, key, record, "done" if effective else "interrupted")
            else:
                waiting = True
        if not waiting:
            return max((int(key.split(".")[1]) for key, _, _ in records), default=0)
        time.sleep(0.2)


def _alone(store: Store, name: str, key: str) -> bool:
    """Whether no other move has begun."""
    begun = [other for other, record, _ in _records(store, name) if record["state"] == "begun"]
    return begun == [key]


def _number(store: Store, name: str) -> int | None:
    """Number of the version that `lab` points to."""
    lab = registry.current(store, name)
    return lab.version if lab else None


def _records(store: Store, name: str) -> list[tuple[str, dict[str, Any], bool]]:
    """(key, record, whether it took effect) of every move that was begun, oldest first."""
    lab = _number(store, name)  # before the records: a move writes its record first
    found = registry.move_records(store, name)
    done = [k for k, (_, record) in enumerate(found) if record["state"] == "done"]
    # Of those that are not confirmed, the first one that the alias shows.
    shown = (
        k
        for k, (_, record) in enumerate(found)
        if record["state"] == "begun" and record["to_version"] == lab and k > max(done, default=-1)
    )
    effective = {*done, next(shown, -1)}
    return [(key, record, k in effective) for k, (key, record) in enumerate(found)]


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


def _words(gate: Gate) -> str:
    if gate.measured is None or gate.limit is None:
        return gate.rule
    return f"{gate.measured:.4g}, limit {gate.limit:.4g}: {gate.rule}"
