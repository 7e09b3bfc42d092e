"""Whatever the mode and whatever the switches between them, objects behave like a dict of version lists.

The model knows nothing of files, rows or journals. Read-your-writes is what every check after a step says:
each key, version, tag and page has to be the model's at once, in every mode, across every legal switch and
restart.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dualtrack.engine import blake
from dualtrack.engine.objects.errors import MethodNotAllowed, NoSuchKey, NoSuchVersion, UnknownContent
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes, Content, Span
from layers import Body, Figures, md5, new_drive, opened, sweep

BUCKET = "bucket"
SHORT = ["a", "a-b", "a/b", "a/b/c", "a/", "b/x/1", "b/x/2", "b-", "ü", "é/z", "c"]
LONG = "/".join(["segment-of-a-long-key" * 5] * 9)
"""Longer than the 511 bytes that a key of LMDB may have."""
KEYS = [*SHORT, LONG, LONG[:-1] + "x"]
NEXT = {
    "fs/0": ["fs/0.5"],
    "fs/0.5": ["fs/0.5", "fs/1"],
    "fs/1": ["fs/1", "kv_primary/1/true", "fs/0"],
    "kv_primary/1/true": ["kv_primary/1/false", "kv_only", "kv_primary/1/true", "fs/1"],
    "kv_primary/1/false": ["kv_primary/1/true"],
    "kv_only": ["kv_only", "returning"],
    "returning": ["kv_only", "returning"],
}
"""From a mode to those that may follow it. The way back from kv_only to files goes through `restore`."""


@dataclass
class Version:
    id: str
    content: bytes | None
    """None is a delete marker."""
    tags: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)


def ordered(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.encode("utf-8", "surrogateescape"))


class Objects(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.home = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.drive = new_drive(self.home / "drive")
        self.model: dict[str, list[Version]] = {}
        self.versioning = ""
        self.mode = "fs/0"
        self.level = Level.EVENTUAL
        self.epoch = 0
        self.figures = Figures()
        self.stack = ExitStack()
        self.layer = self._open()
        self.layer.create_bucket(BUCKET)

    def _open(self) -> ObjectLayer:
        return self.stack.enter_context(
            opened(
                self.drive,
                self.mode,
                epoch=0 if self.mode == "fs/0" else self.epoch,
                figures=self.figures,
                level=self.level,
                instant=True,
            )
        )

    def teardown(self) -> None:
        self.stack.close()
        shutil.rmtree(self.home)

    # -- steps -------------------------------------------------------------------------------------------

    @initialize(
        state=st.sampled_from(["", "", "Enabled", "Suspended"]), way=st.sampled_from([1, 2, 3, 4, 5, 6])
    )
    def begin(self, state: str, way: int) -> None:
        """Some objects, and then as far on the way of a migration as `way` says."""
        if state:
            self.set_versioning(state)
        for key in SHORT[:way]:
            self.put(key, 200_000 if key == "a" else 5, 7, {})
        for mode in ("fs/0.5", "fs/1", "kv_primary/1/true", "kv_only", "returning")[: way - 1]:
            self._enter(mode)

    @rule(state=st.sampled_from(["Enabled", "Suspended"]))
    def set_versioning(self, state: str) -> None:
        self.layer.set_versioning(BUCKET, state)  # type: ignore[arg-type]
        self.versioning = state

    @rule(
        key=st.sampled_from(KEYS),
        size=st.sampled_from([0, 1, 700, 16_384, 16_385, 131_072, 131_073, 1_048_577]),
        seed=st.integers(0, 255),
        user=st.dictionaries(
            st.sampled_from(["color", "x-y"]), st.text("abc ", min_size=1, max_size=5).map(str.strip)
        ),
    )
    def put(self, key: str, size: int, seed: int, user: dict[str, str]) -> None:
        content = bytes([seed]) * size
        written = self.layer.put(BUCKET, key, Body(content), Attributes(user=user))
        assert written.etag == md5(content)
        assert written.size == size
        state = "" if key.endswith("/") else self.versioning
        assert (written.version_id is None) == (not state)
        self._prepend(key, Version(written.version_id or "null", content, user=user))

    def _prepend(self, key: str, version: Version) -> None:
        rest = [old for old in self.model.get(key, []) if old.id != version.id]
        self.model[key] = [version, *rest]

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        gone = self.layer.delete(BUCKET, key)
        state = "" if key.endswith("/") else self.versioning
        if not state:
            self._remove(key, "null")
            assert gone.version_id is None
        else:
            assert gone.marker
            assert gone.version_id is not None
            assert (gone.version_id == "null") == (state == "Suspended")
            self._prepend(key, Version(gone.version_id, None))

    def _remove(self, key: str, version_id: str) -> Version | None:
        found = next((old for old in self.model.get(key, []) if old.id == version_id), None)
        if found is not None:
            self.model[key].remove(found)
            if not self.model[key]:
                del self.model[key]
        return found

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete_version(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(ordered(list(self.model))))
        version = data.draw(st.sampled_from(self.model[key]))
        gone = self.layer.delete(BUCKET, key, version.id)
        assert gone.version_id == version.id
        assert gone.marker == (version.content is None)
        self._remove(key, version.id)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), tags=st.dictionaries(st.sampled_from(["t", "u v"]), st.text("x&=ü", max_size=3)))
    def set_tags(self, data: st.DataObject, tags: dict[str, str]) -> None:
        key = data.draw(st.sampled_from(ordered(list(self.model))))
        version = data.draw(st.sampled_from(self.model[key]))
        if version.content is None:
            with pytest.raises(MethodNotAllowed):
                self.layer.set_tags(BUCKET, key, version.id, tags)
            return
        self.layer.set_tags(BUCKET, key, version.id, tags)
        version.tags = tags

    @precondition(lambda self: self.model)
    @rule(data=st.data(), into=st.sampled_from(KEYS))
    def copy(self, data: st.DataObject, into: str) -> None:
        key = data.draw(st.sampled_from(ordered(list(self.model))))
        version = data.draw(st.sampled_from([*self.model[key]]))
        if version.content is None:
            return
        written = self.layer.copy(BUCKET, key, version.id, BUCKET, into, None)
        copied = Version(
            written.version_id or "null", version.content, dict(version.tags), dict(version.user)
        )
        self._prepend(into, copied)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), into=st.sampled_from(KEYS))
    def put_known(self, data: st.DataObject, into: str) -> None:
        key = data.draw(st.sampled_from(ordered(list(self.model))))
        content = data.draw(st.sampled_from(self.model[key])).content
        if content is None:
            return
        named = Content(blake.digest(content).hex(), len(content))
        try:
            written = self.layer.put_known(BUCKET, into, named, Attributes())
        except UnknownContent:
            return
        assert written.etag == md5(content)
        self._prepend(into, Version(written.version_id or "null", content))

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        """Restart at any level, in the same mode or in one that may follow; what a step needs is done before
        it."""
        self.level = data.draw(st.sampled_from(Level))
        self._enter(data.draw(st.sampled_from(NEXT[self.mode])))

    def _enter(self, following: str) -> None:
        if following.startswith("kv_") and self.mode == "fs/1":
            self.layer.drain()
            sweep(self.layer)
        if following == "kv_only":
            self.layer.drain()
        self.stack.close()
        if self.mode == "fs/0":
            self.epoch += 1  # a new attempt
        self.mode = following
        self.layer = self._open()

    @rule()
    def drain(self) -> None:
        self.layer.drain()

    @precondition(lambda self: self.layer.opened.loader is not None)
    @rule()
    def load(self) -> None:
        self.layer.opened.loader.step()  # type: ignore[union-attr]

    # -- what has to hold after every step ----------------------------------------------------------------

    @invariant()
    def every_version_is_as_it_was_written(self) -> None:
        for key in KEYS:
            versions = self.model.get(key, [])
            if not versions or versions[0].content is None:
                with pytest.raises(NoSuchKey):
                    self.layer.stat(BUCKET, key)
            for version in versions:
                self._check_version(key, version, version is versions[0])
            with pytest.raises(NoSuchVersion):
                self.layer.stat(BUCKET, key, "11111111-2222-4333-8444-555555555555")

    def _check_version(self, key: str, version: Version, latest: bool) -> None:
        found = self.layer.stat(BUCKET, key, version.id)
        assert (found.version_id, found.is_latest) == (version.id, latest)
        assert found.delete_marker == (version.content is None)
        if version.content is None:
            with pytest.raises(MethodNotAllowed):
                self.layer.read(BUCKET, key, version.id)
            return
        assert (found.size, found.etag) == (len(version.content), md5(version.content))
        assert found.tags == version.tags
        assert found.user == version.user
        _, content = self.layer.read(BUCKET, key, None if latest else version.id)
        assert b"".join(content) == version.content
        if len(version.content) > 10:
            _, content = self.layer.read(BUCKET, key, version.id, Span(3, len(version.content) - 5))
            assert b"".join(content) == version.content[3:-4]

    @invariant()
    def pages_are_the_model_s(self) -> None:
        listed = [key for key in ordered(list(self.model)) if self.model[key][0].content is not None]
        for prefix, delimiter, size in (
            ("", "", 1000),
            ("", "/", 2),
            ("a", "/", 1),
            ("a/", "", 2),
            ("b/x/", "/", 3),
        ):
            self._check_pages(listed, prefix, delimiter, size)
        every = [
            (key, version.id, version is self.model[key][0], version.content is None)
            for key in ordered(list(self.model))
            for version in self.model[key]
        ]
        for size in (1000, 2):
            assert self._all_versions(size) == every

    def _check_pages(self, listed: list[str], prefix: str, delimiter: str, size: int) -> None:
        shown: list[str] = []
        after = ""
        while True:
            page = self.layer.list_objects(BUCKET, prefix, delimiter, after, size)
            names = ordered([*(entry.key for entry in page.objects), *page.prefixes])
            assert len(names) <= size
            shown += names
            if not page.truncated:
                break
            assert len(names) == size
            after = page.next_after
        expected = []
        for key in listed:
            if key.startswith(prefix):
                place = key.find(delimiter, len(prefix)) if delimiter else -1
                name = key if place < 0 else key[: place + 1]
                if name not in expected:
                    expected.append(name)
        assert shown == ordered(expected)

    def _all_versions(self, size: int) -> list[tuple[str, str, bool, bool]]:
        found: list[tuple[str, str, bool, bool]] = []
        key_marker = version_marker = ""
        while True:
            page = self.layer.list_versions(BUCKET, "", "", key_marker, version_marker, size)
            found += [
                (each.key, each.version_id, each.is_latest, each.delete_marker) for each in page.versions
            ]
            if not page.truncated:
                return found
            key_marker, version_marker = page.next_key, page.next_version

    @invariant()
    def no_shadow_read_found_a_difference(self) -> None:
        assert self.figures.counts["rustfs_consistency_errors_total"] == 0


TestObjects = Objects.TestCase
TestObjects.settings = settings(
    max_examples=25,
    stateful_step_count=18,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
