"""Multipart uploads, staged in `<drive>/.dualtrack/multipart/<upload>/` until they are completed.

    upload.json          bucket, key, time, attributes, and the id of the data directory to be
    part.N, part.N.json  a framed part and its figures; the second is written last and makes the first count
    data/                the parts in their final place, once completion has begun

A part that is uploaded again replaces the earlier one. Completion only renames, so that its cost does not
depend on the size, and can be tried again after a crash: a part is looked for in each place that it may have
reached.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import NoReturn

from dualtrack.engine import files
from dualtrack.engine.drive import MULTIPART_DIRECTORY
from dualtrack.engine.formats import changes
from dualtrack.engine.naming import raw
from dualtrack.engine.objects.documents import meta_user
from dualtrack.engine.objects.errors import (
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    NoSuchUpload,
)
from dualtrack.engine.objects.fs_track import FsTrack, unavailable
from dualtrack.engine.objects.staging import Body, write_part
from dualtrack.engine.objects.trash import remove_tree
from dualtrack.engine.objects.types import Attributes, Check, Part, Source, Upload, Written
from dualtrack.engine.objects.writes import Changes

MIN_PART = 5 * 1024 * 1024
MAX_PARTS = 10_000
_ID = re.compile(r"[0-9a-f]{32}")
_FIGURES = re.compile(r"part\.(\d{1,5})\.json")


class Uploads:
    def __init__(self, fs: FsTrack, changes: Changes) -> None:
        self._fs = fs
        self._changes = changes
        self._root = os.path.join(fs.drive, MULTIPART_DIRECTORY)
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def create(self, bucket: str, key: str, attributes: Attributes) -> Upload:
        upload = Upload(bucket, key, uuid.uuid4().hex, time.time_ns(), attributes)
        path = self._path(upload.upload_id)
        text = json.dumps({**asdict(upload), "data_dir": uuid.uuid4().hex})

        def write() -> None:
            files.ensure_directory(path)
            files.write_atomic(os.path.join(path, "upload.json"), text.encode())

        self._fs.guarded(write, bucket, key)
        return upload

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, source: Source) -> Part:
        """Stage a part; durable on return."""
        if not 1 <= number <= MAX_PARTS:
            raise InvalidArgument(f"part number {number}: it must lie between 1 and {MAX_PARTS}", bucket, key)
        self.get(bucket, key, upload_id)
        staged = self._fs.trash.new_staging()
        try:
            size, md5 = write_part(staged, source.chunks(), source.verify)
            part = Part(number, md5.hex(), size, time.time_ns())
            with self._locks[upload_id]:
                self.get(bucket, key, upload_id)
                path = self._path(upload_id)
                figures = os.path.join(path, f"part.{number}.json")
                # Between the two renames the part has no figures, so that they never describe another body.
                files.unlink(figures, missing_ok=True)
                files.rename(staged, os.path.join(path, f"part.{number}"))
                files.write_atomic(figures, json.dumps(asdict(part)).encode())
            return part
        except OSError as error:
            raise unavailable(error, bucket, key) from error
        finally:
            files.unlink(staged, missing_ok=True)

    def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        found = self._load(upload_id)
        if found is None or (found[0].bucket, found[0].key) != (bucket, key):
            self._missing(bucket, key, upload_id)
        return found[0]

    def parts(self, upload_id: str) -> list[Part]:
        """The parts uploaded so far, by number."""
        path = self._path(upload_id)
        found = []
        for name in _names(path):
            if _FIGURES.fullmatch(name):
                with suppress(FileNotFoundError):
                    found.append(Part(**json.loads(files.read_regular(os.path.join(path, name), 4096)[0])))
        return sorted(found, key=lambda part: part.number)

    def all(self, bucket: str) -> list[Upload]:
        """The uploads under way in a bucket, by key and then by time."""
        found = (self._load(name) for name in _names(self._root) if _ID.fullmatch(name))
        uploads = [each[0] for each in found if each is not None and each[0].bucket == bucket]
        return sorted(uploads, key=lambda upload: (raw(upload.key), upload.initiated_ns, upload.upload_id))

    def complete(
        self, bucket: str, key: str, upload_id: str, wanted: Sequence[tuple[int, str]], check: Check | None
    ) -> Written:
        """Make an object of the parts named, in order, with their ETags."""
        self.get(bucket, key, upload_id)
        with self._locks[upload_id]:
            upload, data_dir = self._load(upload_id) or self._missing(bucket, key, upload_id)
            parts = self._choose(upload, wanted)
            written = self._changes.committed(bucket, key, data_dir)
            if written is None:
                written = self._commit(upload, parts, data_dir, check)
            remove_tree(self._path(upload_id))
        self._locks.pop(upload_id, None)
        return written

    def _commit(self, upload: Upload, parts: Sequence[Part], data_dir: bytes, check: Check | None) -> Written:
        try:
            body = self._gather(upload, parts, data_dir)
        except OSError as error:
            raise unavailable(error, upload.bucket, upload.key) from error
        return self._changes.put(
            upload.bucket,
            upload.key,
            body,
            [changes.Part(part.number, part.size, part.size) for part in parts],
            meta_user(upload.attributes, _etag(parts)),
            {"X-Minio-Internal-actual-size": str(body.size).encode()},
            check,
        )

    def _missing(self, bucket: str, key: str, upload_id: str) -> NoReturn:
        raise NoSuchUpload(f"{bucket}/{key} has no upload {upload_id}", bucket, key)

    def _choose(self, upload: Upload, wanted: Sequence[tuple[int, str]]) -> list[Part]:
        bucket, key = upload.bucket, upload.key
        numbers = [number for number, _ in wanted]
        if not numbers or numbers != sorted(set(numbers)):
            raise InvalidPartOrder("the parts have to be named in ascending order, each once", bucket, key)
        uploaded = {part.number: part for part in self.parts(upload.upload_id)}
        chosen = []
        for number, etag in wanted:
            part = uploaded.get(number)
            if part is None or part.etag != etag.strip('"').lower():
                raise InvalidPart(f"part {number} was not uploaded with ETag {etag}", bucket, key)
            chosen.append(part)
        if any(part.size < MIN_PART for part in chosen[:-1]):
            raise EntityTooSmall(f"each part but the last needs {MIN_PART} bytes", bucket, key)
        return chosen

    def _gather(self, upload: Upload, parts: Sequence[Part], data_dir: bytes) -> Body:
        """Bring the parts together in a directory that is to become the object's data directory."""
        path = self._path(upload.upload_id)
        directory = os.path.join(path, "data")
        final = self._fs.data_directory(upload.bucket, upload.key, data_dir)
        with suppress(FileExistsError):
            os.mkdir(directory)
        for part in parts:
            name = f"part.{part.number}"
            target = os.path.join(directory, name)
            for place in (path, final):
                with suppress(FileNotFoundError, NotADirectoryError):
                    files.rename(os.path.join(place, name), target)
                    break
            if not os.path.exists(target):
                raise InvalidPart(f"{name} is gone; upload it again", upload.bucket, upload.key)
        keep = {f"part.{part.number}" for part in parts}
        for name in _names(directory):
            if name not in keep:
                files.unlink(os.path.join(directory, name))
        return Body(sum(part.size for part in parts), b"", data_dir, None, directory)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        self.get(bucket, key, upload_id)
        with self._locks[upload_id]:
            remove_tree(self._path(upload_id))
        self._locks.pop(upload_id, None)

    def abort_all(self, bucket: str) -> None:
        """Drop what is under way in a bucket that is being removed."""
        for upload in self.all(bucket):
            with suppress(NoSuchUpload):
                self.abort(bucket, upload.key, upload.upload_id)

    def _path(self, upload_id: str) -> str:
        if not _ID.fullmatch(upload_id):
            raise NoSuchUpload(f"upload id {upload_id!r} is none")
        return os.path.join(self._root, upload_id)

    def _load(self, upload_id: str) -> tuple[Upload, bytes] | None:
        try:
            data, _ = files.read_regular(os.path.join(self._path(upload_id), "upload.json"), 1 << 20)
        except FileNotFoundError:
            return None
        fields = json.loads(data)
        data_dir = bytes.fromhex(fields.pop("data_dir"))
        return Upload(**{**fields, "attributes": Attributes(**fields["attributes"])}), data_dir


def _etag(parts: Sequence[Part]) -> str:
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
