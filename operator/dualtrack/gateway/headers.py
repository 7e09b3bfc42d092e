"""Between HTTP headers and what an object keeps: attributes in, answer headers out.

A stored value that is not printable ASCII leaves as an RFC 2047 encoded word, as S3 has it: HTTP headers
carry no other text, and a client must be able to tell what was stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate
from urllib.parse import parse_qsl

from dualtrack.engine.objects.types import Attributes, Content, Stored
from dualtrack.gateway.errors import S3Error

STANDARD = (
    "content-type",
    "cache-control",
    "content-encoding",
    "content-disposition",
    "content-language",
    "expires",
)
META = "x-amz-meta-"
CONTENT_HASH, CONTENT_SIZE = "x-amz-dualtrack-blake3", "x-amz-dualtrack-size"
DEFAULT_TYPE = "binary/octet-stream"
STORAGE_CLASSES = ("STANDARD", "REDUCED_REDUNDANCY")
MAX_USER_METADATA = 2048
MAX_TAGS, MAX_TAG_KEY, MAX_TAG_VALUE = 10, 128, 256
OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
_PLAIN_ACLS = ("", "private", "bucket-owner-full-control")
_UNSERVED = (
    "x-amz-server-side-encryption",
    "x-amz-object-lock-",
    "x-amz-website-redirect-location",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
    "x-amz-bucket-object-lock-enabled",
)
_WORD_LIMIT = 75 - len("=?UTF-8?q?") - len("?=")
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_TAG_TEXT = re.compile(r"[\w\s+\-=.:/@]*")


def refuse_unserved(headers: Mapping[str, str]) -> None:
    """Nothing that a client asks for is silently left out: encryption, locks and grants are not served."""
    for name in headers:
        if name.startswith(_UNSERVED) and headers[name].lower() != "false":
            raise S3Error(
                "NotImplemented", f"The header {name} implies functionality that is not implemented."
            )
    if headers.get("x-amz-acl", "") not in _PLAIN_ACLS:
        raise S3Error("NotImplemented", "The header x-amz-acl implies functionality that is not implemented.")


def known_content(headers: Mapping[str, str]) -> Content | None:
    """The content that a PUT names instead of sending it; None where it is an ordinary one."""
    name, size = headers.get(CONTENT_HASH), headers.get(CONTENT_SIZE, "")
    if name is None:
        return None
    if not _HASH.fullmatch(name) or not (size.isascii() and size.isdigit()):
        raise S3Error(
            "InvalidArgument", f"{CONTENT_HASH} takes 64 hexadecimal digits, and {CONTENT_SIZE} the size."
        )
    return Content(name.lower(), int(size))


def attributes(headers: Mapping[str, str]) -> Attributes:
    """What the headers of a write say about the object."""
    kept = {name: headers[name] for name in STANDARD if headers.get(name)}
    encoding = _without_framing(kept.pop("content-encoding", ""))
    if encoding:
        kept["content-encoding"] = encoding
    kept.setdefault("content-type", DEFAULT_TYPE)
    storage_class = headers.get("x-amz-storage-class")
    if storage_class is not None:
        if storage_class not in STORAGE_CLASSES:
            raise S3Error("InvalidStorageClass", f"The storage class {storage_class!r} is not valid here.")
        kept["x-amz-storage-class"] = storage_class
    user = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    size = sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in user.items())
    if size > MAX_USER_METADATA:
        raise S3Error("MetadataTooLarge", f"Your metadata headers exceed {MAX_USER_METADATA} bytes.")
    return Attributes(kept, user, tag_header(headers.get("x-amz-tagging", "")))


def _without_framing(encoding: str) -> str:
    # `aws-chunked` describes the request's body, not the object.
    parts = [part.strip() for part in encoding.split(",")]
    return ",".join(part for part in parts if part and part != "aws-chunked")


def tag_header(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise S3Error(
            "InvalidArgument", "The header x-amz-tagging must be encoded as a query string."
        ) from error
    return check_tags(pairs)


def check_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key.")
    if len(tags) > MAX_TAGS:
        raise S3Error("InvalidTag", f"Object tags cannot be greater than {MAX_TAGS}.")
    for name, value in tags.items():
        if not 0 < len(name) <= MAX_TAG_KEY or not _TAG_TEXT.fullmatch(name):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid.", details={"TagKey": name})
        if len(value) > MAX_TAG_VALUE or not _TAG_TEXT.fullmatch(value):
            raise S3Error(
                "InvalidTag", "The TagValue you have provided is invalid.", details={"TagKey": name}
            )
    return tags


def of_object(stored: Stored) -> dict[str, str]:
    """The headers that HEAD and GET have in common."""
    answer = {
        "ETag": f'"{header_text(stored.etag)}"',
        "Last-Modified": formatdate(stored.modified_ns // 1_000_000_000, usegmt=True),
        "Accept-Ranges": "bytes",
        "Content-Type": DEFAULT_TYPE,
    }
    for name, value in stored.headers.items():
        # An empty one would say more than the writer did; the storage class has its own rule below.
        if value and name != "x-amz-storage-class":
            answer[name.title()] = header_text(value)
    for name, value in stored.user.items():
        answer[META + header_text(name)] = header_text(value)
    if stored.storage_class and stored.storage_class != "STANDARD":
        answer["x-amz-storage-class"] = stored.storage_class
    if stored.versioned:
        answer["x-amz-version-id"] = stored.version_id
    if stored.tags:
        answer["x-amz-tagging-count"] = str(len(stored.tags))
    return answer


def override(answer: dict[str, str], query: Mapping[str, str]) -> None:
    for parameter, name in OVERRIDES.items():
        if parameter in query:
            answer[name] = header_text(query[parameter])


def header_text(value: str) -> str:
    """Printable ASCII as it is; anything else as RFC 2047 "Q" words of at most 75 characters."""
    if value.isascii() and value.isprintable():
        return value
    words = [""]
    for character in value:
        encoded = _q(character)
        if len(words[-1]) + len(encoded) > _WORD_LIMIT:
            words.append("")
        words[-1] += encoded
    return " ".join(f"=?UTF-8?q?{word}?=" for word in words)


def _q(character: str) -> str:
    if character == " ":
        return "_"
    if "!" <= character <= "~" and character not in "=?_":
        return character
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
