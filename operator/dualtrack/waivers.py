"""What the operator and the engine must agree on to speak of waived objects without sending their names.

A Job's result is at most 3 KiB and a key up to 1,024 bytes, so neither a list of waivers nor one of
quarantined objects fits in. Each waived object becomes an id of its bucket, its key and the SHA-256 of its
metadata file, so that another object or another content is another id; a list becomes the digest of its ids.
The operator gives a verification the ids it accepts; the verification holds each quarantined object, read
anew, against them, and answers with the digest of the list it went by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def waiver_id(bucket: str, key: str, sha256: str) -> str:
    """32 hex digits: BLAKE2b-128 of the three, which contain no NUL."""
    name = f"{bucket}\0{key}\0{sha256}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def list_digest(ids: Iterable[str]) -> str:
    """Of a set of ids, in whatever order they come; of none, too."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(set(ids))).encode()).hexdigest()
