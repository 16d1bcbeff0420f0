"""Random operations and crashes of registry, reviews and resumed corpora, against a model."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import tracking_at
from tests.faults.operations import review

from spinscope.config import Params
from spinscope.corpora.writing import missing_chunks, open_array, read_rows, write_chunk
from spinscope.errors import SpinscopeError
from spinscope.files import remove_partial
from spinscope.reviews.folder import Reviews
from spinscope.tracking import MOVED, history, open_store, promotion
from spinscope.tracking.registry import current

FEW = settings(
    max_examples=8, stateful_step_count=12, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod", "os.rmdir"}
CRASH = st.integers(1, 40)
"""Number of the file operation at which a process dies; a larger number than there are: never."""


def dies(operation: Callable[[], object], at: int) -> bool:
    """Run an operation in a fork that ends before its n-th file operation; whether it ended so."""
    pid = os.fork()
    if pid == 0:
        left = [at]

        def count(event: str, _: tuple) -> None:
            if event in EVENTS:
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)

        sys.addaudithook(count)
        status = 1
        try:
            operation()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9)
    return status == 9


class ReviewsMachine(RuleBasedStateMachine):
    """Saves of one frame by several processes that may die."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.saved: list[int] = []

    @rule(seed=st.integers(0, 99), at=CRASH)
    def save(self, seed, at):
        died = dies(lambda: review(self.folder, seed), at)
        if not died or len(self._found()) > len(self.saved):
            self.saved.append(seed)

    def _found(self) -> list:
        return Reviews.open(self.folder / "reviews").history("7")

    @invariant()
    def every_saved_version_is_whole(self):
        reviews, found = Reviews.open(self.folder / "reviews"), self._found()
        assert [one.who for one in found] == [f"reviewer {seed}" for seed in self.saved]
        for one, seed in zip(found, self.saved, strict=True):
            mask = np.random.default_rng(seed).integers(0, 2, (32, 32), dtype=np.uint8)
            assert (reviews.label(one) == mask).all()
            assert (reviews.shown(one) == 1 - mask).all()

    def teardown(self):
        for folder in [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]:
            remove_partial(folder)
        assert not list(self.folder.rglob(".*"))
        shutil.rmtree(self.folder)


class CorpusMachine(RuleBasedStateMachine):
    """Chunks of a corpus that are written, cut short, and written again."""

    n, size = 10, 3

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.complete: set[int] = set()

    def _numbers(self, chunk: int) -> range:
        return range(chunk * self.size, min((chunk + 1) * self.size, self.n))

    def _write(self, chunk: int) -> None:
        rows = [{"number": number} for number in self._numbers(chunk)]
        write_chunk(self.folder, chunk, rows, {"m": np.array(self._numbers(chunk))})

    def _rows(self, chunk: int) -> list:
        return read_rows(self.folder, chunk, ["m"], lambda row: True)

    @rule(chunk=st.integers(0, 3), at=st.integers(1, 12))
    def write(self, chunk, at):
        died = dies(lambda: self._write(chunk), at)
        if not died or self._rows(chunk):
            self.complete.add(chunk)

    @precondition(lambda self: self.complete)
    @rule(data=st.data())
    def cut(self, data):
        chunk = data.draw(st.sampled_from(sorted(self.complete)))
        os.truncate(self.folder / f"m-{chunk:04d}.npy", 20)
        with pytest.raises(SpinscopeError, match="is damaged"):
            self._rows(chunk)
        self.complete.discard(chunk)

    @invariant()
    def what_is_complete_is_right_and_the_rest_is_missing(self):
        missing = missing_chunks(self.n, self.size, self._rows)
        assert set(missing) == set(range(4)) - self.complete
        for chunk in self.complete:
            assert open_array(self.folder, "m", chunk).tolist() == list(self._numbers(chunk))

    def teardown(self):
        shutil.rmtree(self.folder)


class Died(BaseException):
    """A process that ends between two calls of the registry."""


def registry_machine(
    template: Path, params: Params, patch: pytest.MonkeyPatch
) -> type[RuleBasedStateMachine]:
    """Machine of promotions, rollbacks and moves by hand on copies of an empty store."""
    write, set_alias = promotion._write, promotion._set_alias
    left = [0]

    def step(function: Callable) -> Callable:
        def call(*arguments) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Died
            function(*arguments)
            left[0] -= 1
            if left[0] == 0:
                raise Died

        return call

    patch.setattr(promotion, "_write", step(write))
    patch.setattr(promotion, "_set_alias", step(set_alias))
    patch.setattr(promotion, "check", lambda *_, **__: ())

    class RegistryMachine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.folder = Path(tempfile.mkdtemp())
            shutil.copytree(template, self.folder, dirs_exist_ok=True)
            self.store = open_store(tracking_at(self.folder))
            client = self.store.client
            client.create_registered_model("m")
            for _ in range(3):
                client.create_model_version("m", source=str(self.folder))
            self.steps: list[tuple] = []
            self.lab: int | None = None
            self.pending: int | None = None

        def _done(self, action: str, to: int) -> None:
            if to != self.lab or self._by_hand():
                self.steps.append((action, self.lab, to))
            self.lab = to

        def _by_hand(self) -> bool:
            return bool(self.steps) and self.steps[-1][0] == MOVED

        def _try(self, action: str, to: int | None, call: Callable, at: int) -> None:
            left[0] = at
            try:
                call()
                died = False
            except Died:
                died = True
            except SpinscopeError:
                assert to is None  # nothing to roll back to
                return
            finally:
                left[0] = 0
            assert to is not None
            lab = current(self.store, "m")
            moved = history_of(self.store)[len(self.steps) :]
            self.pending = None
            if not died or moved:
                self._done(action, to)
            else:
                self.pending = to
            assert (lab and lab.version) == self.lab

        @rule(version=st.integers(1, 3), at=st.integers(0, 8))
        def promote(self, version, at):
            options = {"reason": "why", "params": params, "measure": None, "frame_ratio": None}
            call = lambda: promotion.promote(self.store, None, "m", version, **options)  # noqa: E731
            self._try("promote", version, call, at)

        @rule(at=st.integers(0, 8))
        def rollback(self, at):
            before = promotion._previous(history(self.store, "m"), self.lab)
            call = lambda: promotion.rollback(self.store, "m", reason="why")  # noqa: E731
            self._try("rollback", before, call, at)

        @rule(version=st.integers(1, 3))
        def by_hand(self, version):
            if version == self.pending:  # then it looks like the interrupted move
                return
            self.store.client.set_registered_model_alias("m", "lab", str(version))
            if version != self.lab:
                if self._by_hand():
                    before = self.steps.pop()[1]
                    if before != version:
                        self.steps.append((MOVED, before, version))
                else:
                    self.steps.append((MOVED, self.lab, version))
            self.lab = version

        @invariant()
        def history_and_alias_agree(self):
            assert history_of(self.store) == self.steps

        def teardown(self):
            shutil.rmtree(self.folder)

    return RegistryMachine


def history_of(store) -> list[tuple]:
    """Action and versions of every step."""
    return [(step.action, step.from_version, step.to_version) for step in history(store, "m")]


def test_reviews_survive_crashes():
    run_state_machine_as_test(ReviewsMachine, settings=FEW)


def test_a_corpus_survives_crashes():
    run_state_machine_as_test(CorpusMachine, settings=FEW)


@pytest.mark.slow
def test_the_registry_survives_crashes(fresh_store, params, monkeypatch):
    run_state_machine_as_test(
        registry_machine(fresh_store, params, monkeypatch),
        settings=settings(
            FEW, max_examples=3, stateful_step_count=8, phases=[Phase.explicit, Phase.generate]
        ),
    )
