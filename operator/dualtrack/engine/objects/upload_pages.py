"""Pages of parts and of uploads under way. Both are few and lie in memory, so a page is a slice."""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.engine.naming import raw
from dualtrack.engine.objects.pages import common_prefix
from dualtrack.engine.objects.types import Part, PartPage, Upload, UploadPage


def part_page(upload: Upload, parts: Sequence[Part], after: int, limit: int) -> PartPage:
    """At most `limit` parts with numbers above `after`."""
    rest = [part for part in parts if part.number > after]
    shown = tuple(rest[:limit])
    truncated = len(rest) > len(shown) > 0
    return PartPage(upload, shown, truncated, shown[-1].number if truncated else 0)


def upload_page(
    uploads: Sequence[Upload],
    prefix: str,
    delimiter: str,
    key_marker: str,
    upload_marker: str,
    limit: int,
) -> UploadPage:
    """At most `limit` uploads and common prefixes after the markers; `uploads` are in order."""
    shown: list[Upload] = []
    prefixes: list[str] = []
    last_key = last_upload = ""
    for upload in _after(uploads, prefix, key_marker, upload_marker):
        rolled = common_prefix(upload.key, prefix, delimiter)
        if rolled is not None and (rolled in prefixes or raw(rolled) <= raw(key_marker)):
            continue
        if len(shown) + len(prefixes) >= limit:
            return UploadPage(tuple(shown), tuple(prefixes), limit > 0, last_key, last_upload)
        if rolled is None:
            shown.append(upload)
            last_key, last_upload = upload.key, upload.upload_id
        else:
            prefixes.append(rolled)
            last_key, last_upload = rolled, ""
    return UploadPage(tuple(shown), tuple(prefixes), False, "", "")


def _after(uploads: Sequence[Upload], prefix: str, key: str, upload_id: str) -> list[Upload]:
    inside = [upload for upload in uploads if upload.key.startswith(prefix)]
    same = [upload.upload_id for upload in inside if upload.key == key]
    passed = same.index(upload_id) + 1 if upload_id in same else 0
    rest = set(same[passed:]) if upload_id else set()
    return [upload for upload in inside if raw(upload.key) > raw(key) or upload.upload_id in rest or not key]
