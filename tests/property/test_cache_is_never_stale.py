"""Whatever the interleaving of commits and reads, the cache gives the row that the store has, or none."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dualtrack.engine.objects.cache import MANY, CacheSettings, Commits, RowCache
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowDraft
from dualtrack.engine.stores.protocol import Batch, Place, Put
from layers import Figures

PLACES: list[Place] = [("b", f"k{number}") for number in range(4)]
MAX_BYTES = 16 * 4_000


def row_of(place: Place, value: int, padding: int = 0) -> Row:
    data = str(value).encode() + bytes(padding)
    return Row.of(*place, Generation(1, value), RowDraft(NO_FILE, 0, 0, 0, 0, data, b""))


class Cached(RuleBasedStateMachine):
    """Each commit and each read of the store is several steps here, and steps of others come between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.commits = Commits()
        self.cache = RowCache(
            CacheSettings(capacity=3, ttl_seconds=10, max_bytes=MAX_BYTES), self.commits, lambda: self.now
        )
        self.store: dict[Place, Row] = {}
        self.committing: list[tuple[list[Place], tuple[int, ...]]] = []
        self.reading: list[tuple[Place, tuple[int, int] | None, Row]] = []
        self.value = 0

    places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True)

    @rule(places=places, crowd=st.booleans())
    def begin(self, places: list[Place], crowd: bool) -> None:
        others = [("other", str(number)) for number in range(MANY if crowd else 0)]
        self.committing.append((places, self.commits.begin([*places, *others])))

    @precondition(lambda self: self.committing)
    @rule(which=st.integers(0, 9), padding=st.sampled_from([0, 2_000, 5_000]))
    def becomes_visible(self, which: int, padding: int) -> None:
        for place in self.committing[which % len(self.committing)][0]:
            self.value += 1
            self.store[place] = row_of(place, self.value, padding)

    @precondition(lambda self: self.committing)
    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        self.commits.end(self.committing.pop(which % len(self.committing))[1])

    @precondition(lambda self: self.store)
    @rule(place=st.sampled_from(PLACES))
    def read_store(self, place: Place) -> None:
        state = self.cache.state(place)
        if place in self.store:
            self.reading.append((place, state, self.store[place]))

    @precondition(lambda self: self.reading)
    @rule(which=st.integers(0, 9))
    def put(self, which: int) -> None:
        place, state, row = self.reading.pop(which % len(self.reading))
        self.cache.put(place, row, state)

    @rule(seconds=st.sampled_from([1.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if seconds > 10:
            assert all(self.cache.get(place) is None for place in PLACES)

    @invariant()
    def what_it_gives_is_what_the_store_has(self) -> None:
        for place in PLACES:
            found = self.cache.get(place)
            assert found is None or found == self.store[place]

    @invariant()
    def it_stays_within_its_bounds(self) -> None:
        entries, size = self.cache.sizes()
        assert entries <= 3
        assert size <= MAX_BYTES


TestCached = Cached.TestCase
TestCached.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_row_is_served_from_memory_until_it_is_committed_anew(tmp_path: Path) -> None:
    figures = Figures()
    with_owner = Owner.open(None, str(tmp_path), OwnerSettings("drive", map_size=1 << 24))
    try:
        with_owner.commits = Commits()
        kv = KvTrack(with_owner, 1, figures, RowCache(CacheSettings(), with_owner.commits))
        commit(with_owner, PLACES[0], 1)
        for _ in range(3):
            found = kv.get(*PLACES[0])
            assert found is not None
            assert found.data == b"1"
        assert figures.counts["rustfs_metadata_cache_hits_total"] == 2
        assert figures.counts["rustfs_metadata_cache_misses_total"] == 1
        commit(with_owner, PLACES[0], 2)
        found = kv.get(*PLACES[0])
        assert found is not None
        assert found.data == b"2"
    finally:
        with_owner.close()


def commit(owner: Owner, place: Place, value: int) -> None:
    row = replace(row_of(place, value), generation=owner.next_generation())
    owner.commit(Batch(puts=(Put(row, b"", "any"),)))


def test_readers_beside_writers_never_go_back(tmp_path: Path) -> None:
    """What was acknowledged, and what any reader has seen, every later reader sees, or something newer."""
    owner = Owner.open(None, str(tmp_path), OwnerSettings("drive", map_size=1 << 24))
    try:
        owner.commits = Commits()
        kv = KvTrack(owner, 1, Figures(), RowCache(CacheSettings(), owner.commits))
        known = dict.fromkeys(PLACES, 0)
        guard, done = threading.Lock(), threading.Event()

        def learn(place: Place, value: int) -> None:
            with guard:
                known[place] = max(known[place], value)

        def write(place: Place) -> None:
            for value in range(1, 60):
                commit(owner, place, value)
                learn(place, value)

        def read() -> int:
            count = 0
            while not done.is_set():
                for place in PLACES:
                    least = known[place]
                    row = kv.get(*place)
                    value = int(row.data) if row is not None else 0
                    assert value >= least
                    learn(place, value)
                    count += 1
            return count

        with ThreadPoolExecutor(8) as pool:
            readers = [pool.submit(read) for _ in range(3)]
            try:
                for writer in [pool.submit(write, place) for place in PLACES]:
                    writer.result()
            finally:
                done.set()
            assert all(reader.result() > 0 for reader in readers)
        assert known == dict.fromkeys(PLACES, 59)
    finally:
        owner.close()
