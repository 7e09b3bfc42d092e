"""Each backend against a sorted list (order) and against a dict (compare-and-set), on keys of any length."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualtrack.engine.digests import DigestSum
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState, order
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch, Outcome, OwnedStore, Place, Put

FIXTURE = [HealthCheck.function_scoped_fixture]  # `kind` says only where; each example has its own store
BUCKETS = st.sampled_from(["b", "b-1", "bb", "bucket"])
LONG = st.builds(
    lambda stem, length, tail: (stem * 1024)[:length] + tail,
    st.sampled_from(["k", "ab", "é"]),
    st.integers(480, 1010),
    st.text(st.sampled_from("\x01 -/0azé"), max_size=6),
)
SHORT = st.text(st.sampled_from("\x01 -/0azé日\udcfe"), min_size=1, max_size=5)
KEYS = st.one_of(SHORT, LONG).filter(lambda key: 0 < len(key.encode("utf-8", "surrogateescape")) <= 1024)


@pytest.fixture(params=["lmdb", "rocksdb", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where stores are made: a prefix for a directory, or the URL of a server."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql").url)
    return "rocksdb:" if request.param == "rocksdb" else ""


@contextmanager
def opened(kind: str) -> Iterator[OwnedStore]:
    with tempfile.TemporaryDirectory() as directory:
        where = f"{kind}&schema=p{uuid.uuid4().hex}" if "://" in kind else f"{kind}{directory}/store"
        store = open_store(locate(where), "drive-1", map_size=32 * 1024 * 1024)
        store.open_term()
        try:
            yield store
        finally:
            store.close()


def row(place: Place, counter: int, data: bytes, state: RowState = RowState.PRESENT) -> Row:
    return Row(*place, Generation(1, counter), state, RowOrigin.FS, NO_FILE, 0o644, 0, 0, 0, data)


@given(st.sets(st.tuples(BUCKETS, KEYS), min_size=1, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None, suppress_health_check=FIXTURE)
def test_a_scan_gives_the_order_of_utf8_bytes(kind: str, places: set[Place], random: object) -> None:
    shuffled = sorted(places)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = sorted(places, key=lambda place: order(*place))
    with opened(kind) as store:
        store.commit(Batch(puts=tuple(Put(row(place, 1, b"x"), b"s") for place in shuffled)))
        assert [(each.bucket, each.key) for each in store.scan(None, 1000)] == expected
        for position, place in enumerate(expected):
            following = expected[position + 1 : position + 2]
            assert [(each.bucket, each.key) for each in store.scan(place, 1)] == following
        for bucket in {place[0] for place in places}:
            listed = [key for key, _ in store.scan_index(bucket, "", None, 1000)]
            assert listed == [key for name, key in expected if name == bucket]


@dataclass(frozen=True)
class Step:
    place: Place
    counter: int
    data: bytes
    state: RowState
    expect: str
    origin: RowOrigin


STEPS = st.builds(
    Step,
    st.sampled_from([("b", "k"), ("b", "k/" + "x" * 600), ("b", "k/" + "x" * 601), ("c", "k")]),
    st.integers(1, 12),
    st.sampled_from([b"", b"one", b"two"]),
    st.sampled_from(list(RowState)),
    st.sampled_from(["older", "any"]),
    st.sampled_from(list(RowOrigin)),
)


def expected_outcome(known: Row | None, step: Step, new: Row, dirty: set[Place]) -> Outcome:
    """The rules of the protocol's docstring, said once more and differently."""
    if step.expect == "older" and step.place in dirty:
        return Outcome.DIRTY
    if known is None:
        return Outcome.APPLIED
    if replace(known, generation=new.generation) == new:
        return Outcome.SAME
    newer = new.generation > known.generation
    allowed = step.expect == "any" or known.origin is RowOrigin.FS
    return Outcome.APPLIED if newer and allowed else Outcome.NEWER


@given(st.lists(st.lists(STEPS, min_size=1, max_size=4), max_size=12), st.sets(st.sampled_from([("b", "k")])))
@settings(max_examples=25, deadline=None, suppress_health_check=FIXTURE)
def test_compare_and_set_agrees_with_a_dict(kind: str, batches: list[list[Step]], dirty: set[Place]) -> None:
    model: dict[Place, Row] = {}
    with opened(kind) as store:
        for steps in batches:
            rows = [
                replace(row(step.place, step.counter, step.data, step.state), origin=step.origin)
                for step in steps
            ]
            puts = tuple(
                Put(each, b"s" if each.present else b"", step.expect)  # type: ignore[arg-type]
                for each, step in zip(rows, steps, strict=True)
            )
            expected = []
            for each, step in zip(rows, steps, strict=True):
                outcome = expected_outcome(model.get(step.place), step, each, dirty)
                expected.append(outcome)
                if outcome is Outcome.APPLIED:
                    model[step.place] = each
            (result,) = store.commit_many([Batch(puts=puts)], dirty)
            assert not isinstance(result, Exception)
            assert list(result.outcomes) == expected
        assert {(each.bucket, each.key): each for each in store.scan(None, 1000)} == model
        present = [each for each in model.values() if each.present]
        total = DigestSum()
        for each in present:
            total.add(each.bucket, each.key, each.data)
        assert store.digest() == total.value()
        assert sum(store.stats().objects.values()) == len(present)
