"""What S3 says of the versions in an `xl.meta`, and how a request's attributes are stored in one.

Pure functions between the format (`engine/formats`) and the values of `types`. Names in `MetaUsr` are those
that MinIO writes, so that it reads what it would have written itself: `etag`, lower-case standard headers,
`X-Amz-Meta-Color`, `X-Amz-Tagging`. On the way out names are compared without case, and RustFS's spelling
(user metadata without its prefix) is understood as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote_plus

from dualtrack.engine import attributes as classes
from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta, decode
from dualtrack.engine.objects.errors import InvalidArgument, Unavailable
from dualtrack.engine.objects.sealing import why_undecodable
from dualtrack.engine.objects.types import NULL_VERSION, Attributes, Listed, ListedVersion, Stored
from dualtrack.engine.summary import Summary
from dualtrack.errors import FormatError

STANDARD_HEADERS = frozenset(
    {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    }
)
STORAGE_CLASS = classes.DEFAULT_STORAGE_CLASS
TAGGING = "X-Amz-Tagging"

Track = Literal["fs", "dual", "kv"]


def decode_meta(data: bytes, bucket: str, key: str) -> XlMeta:
    """The decoded file. `Unavailable` where it is damaged or of a form that this build cannot read."""
    try:
        return decode(data)
    except FormatError as error:
        raise Unavailable(
            f"{bucket}/{key}: its metadata cannot be read ({error}); see `dualtrack engine inventory`",
            bucket,
            key,
        ) from error


def data_directories(meta: XlMeta) -> frozenset[bytes]:
    """The ids of the data directories that the versions name."""
    bodies = (version.body for version in meta.versions if version.kind.is_object)
    return frozenset(
        body.data_dir for body in bodies if isinstance(body, ObjectBody) and body.data_dir != NULL_ID
    )


def has_legacy(meta: XlMeta | None) -> bool:
    """Whether a version is from before versions, with its content in `legacy/`."""
    return meta is not None and any(version.kind is Kind.LEGACY for version in meta.versions)


def version_bytes(version_id: str) -> bytes:
    """The 16 bytes of a version id; `InvalidArgument` if it is none."""
    if version_id == NULL_VERSION:
        return NULL_ID
    try:
        parsed = uuid.UUID(version_id)
    except ValueError as error:
        raise InvalidArgument(f"version id {version_id!r} is none: it is a UUID, or null") from error
    if str(parsed) != version_id.lower():
        raise InvalidArgument(f"version id {version_id!r} is none: it is a UUID, or null")
    return parsed.bytes


def meta_user(attributes: Attributes, etag: str) -> dict[str, str]:
    """`MetaUsr` of a new object. No type means MinIO's default one; the default class is not stored."""
    stored = {"etag": etag, "content-type": "binary/octet-stream"}
    stored |= {name: value for name, value in attributes.headers.items() if name in STANDARD_HEADERS}
    if stored.get(classes.STORAGE_CLASS, "") in ("", STORAGE_CLASS):
        stored.pop(classes.STORAGE_CLASS, None)
    for name, value in attributes.user.items():
        stored[_canonical(classes.USER_PREFIX + name)] = value
    if attributes.tags:
        stored[TAGGING] = encode_tags(attributes.tags)
    return stored


def _canonical(name: str) -> str:
    """Go's canonical header form where the name is a token, else the name as it is."""
    return "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))


def encode_tags(tags: Mapping[str, str]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in tags.items())


def with_tags(stored: Mapping[str, str], tags: Mapping[str, str] | None) -> dict[str, str]:
    """`MetaUsr` with other tags; None leaves an empty entry, as MinIO does."""
    kept = {name: value for name, value in stored.items() if name.lower() != TAGGING.lower()}
    return {**kept, TAGGING: encode_tags(tags or {})}


def describe(
    bucket: str, key: str, version: Version, *, latest: bool, versioned: bool, track: Track
) -> Stored:
    """A version as HEAD reports it."""
    body = version.body
    if not isinstance(body, ObjectBody):
        return Stored(
            bucket=bucket,
            key=key,
            version_id=version.version_key,
            versioned=versioned,
            is_latest=latest,
            delete_marker=True,
            etag="",
            size=0,
            modified_ns=version.mod_time_ns,
            headers={},
            user={},
            tags={},
            storage_class=STORAGE_CLASS,
            parts=0,
            decodable=True,
            track=track,
        )
    return Stored(
        bucket=bucket,
        key=key,
        version_id=version.version_key,
        versioned=versioned,
        is_latest=latest,
        delete_marker=False,
        etag=classes.etag(body) or "",
        size=classes.size(body),
        modified_ns=version.mod_time_ns,
        headers=_headers(body),
        user=classes.user_metadata(body),
        tags=classes.tags(body),
        storage_class=classes.storage_class(body),
        parts=len(body.part_nums) if "-" in body.meta_user.get("etag", "") else 0,
        decodable=why_undecodable(body) is None,
        track=track,
    )


def _headers(body: ObjectBody) -> dict[str, str]:
    stored = classes.lower(body.meta_user)
    return {
        name: value
        for name, value in stored.items()
        if name in STANDARD_HEADERS or name.startswith("x-amz-server-side-encryption")
    }


def listed_version(key: str, version: Version, latest: bool) -> ListedVersion:
    body = version.body
    if not isinstance(body, ObjectBody):
        return ListedVersion(
            key, version.version_key, latest, True, "", 0, version.mod_time_ns, STORAGE_CLASS
        )
    return ListedVersion(
        key,
        version.version_key,
        latest,
        False,
        classes.etag(body) or "",
        classes.size(body),
        version.mod_time_ns,
        classes.storage_class(body),
    )


def listed_versions(key: str, meta: XlMeta) -> list[tuple[str, ListedVersion]]:
    """What a listing of versions shows of a key, newest first, with the ids to go on after."""
    return [
        (version.version_key, listed_version(key, version, number == 0))
        for number, version in enumerate(meta.versions)
        if version.kind is not Kind.FREE_VERSION and not classes.is_purging(version.body)
    ]


def listed(key: str, found: Summary) -> list[tuple[str, Listed]]:
    """What a plain listing shows of a key: its current version, unless that is a deletion."""
    if not found.listed:
        return []
    return [("", Listed(key, found.etag or "", found.size, found.mod_time_ns, found.storage_class))]
