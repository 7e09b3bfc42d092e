"""ListObjects and ListObjectVersions: the same pages from whichever track the mode lists with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from dualtrack.engine.naming import raw
from dualtrack.engine.objects.documents import listed, listed_versions
from dualtrack.engine.objects.errors import InvalidArgument, Unavailable
from dualtrack.engine.objects.kv_track import KV_ERRORS
from dualtrack.engine.objects.pages import Cursor, E, Slice, T, collect
from dualtrack.engine.objects.plane import Plane, Wanted
from dualtrack.engine.objects.types import Page, VersionPage

_log = logging.getLogger(__name__)
MAX_PAGE = 1000


def list_objects(plane: Plane, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """One page of current objects whose keys (or common prefixes) come after `after`."""
    found = _page(
        plane,
        (plane.objects, plane.objects_on_drive),
        listed,
        bucket,
        prefix=prefix,
        delimiter=delimiter,
        after=after,
        after_id="",
        limit=limit,
    )
    return Page(found.items, found.prefixes, found.truncated, found.last)


def list_versions(
    plane: Plane, bucket: str, prefix: str, delimiter: str, key_marker: str, version_marker: str, limit: int
) -> VersionPage:
    """One page of versions and delete markers, newest first within a key."""
    if version_marker and not key_marker:
        raise InvalidArgument("a version id marker needs a key marker", bucket)
    found = _page(
        plane,
        (plane.versions, plane.versions_on_drive),
        listed_versions,
        bucket,
        prefix=prefix,
        delimiter=delimiter,
        after=key_marker,
        after_id=version_marker,
        limit=limit,
    )
    return VersionPage(found.items, found.prefixes, found.truncated, found.last, found.last_id)


def _page(
    plane: Plane,
    sources: tuple[Callable[[Wanted], Cursor[T]], Callable[[Wanted], Cursor[T]]],
    expand: Callable[[str, T], Sequence[tuple[str, E]]],
    bucket: str,
    *,
    prefix: str,
    delimiter: str,
    after: str,
    after_id: str,
    limit: int,
) -> Slice[E]:
    if limit < 0:
        raise InvalidArgument(f"{limit} entries a page: it must be 0 or more", bucket)
    limit = min(limit, MAX_PAGE)
    start = max(prefix, after, key=raw)
    wanted = Wanted(bucket, prefix, start, limit, bool(delimiter))

    def attempt(source: Callable[[Wanted], Cursor[T]]) -> Slice[E]:
        cursor = source(wanted)
        try:
            return collect(
                cursor,
                prefix=prefix,
                delimiter=delimiter,
                after=after,
                after_id=after_id,
                limit=limit,
                expand=expand,
            )
        finally:
            cursor.close()

    try:
        return attempt(sources[0])
    except KV_ERRORS as error:
        if not plane.fallback:
            raise Unavailable(f"{bucket}: the index does not answer ({error})", bucket) from error
        _log.warning("listed from the drive instead bucket=%s error=%s", bucket, error)
        return attempt(sources[1])
