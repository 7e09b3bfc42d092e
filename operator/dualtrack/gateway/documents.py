"""XML in and out, in S3's dialect.

Out: strings, built by hand, because a listing of 1,000 keys is the hottest document there is. Characters that
XML 1.0 cannot hold become U+FFFD; a client that has such keys asks for `encoding-type=url`. In: UTF-8 without
a document type, so that no entity can be declared, and with every element found whatever its namespace.
"""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote
from xml.sax.saxutils import escape

from dualtrack.gateway.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
OWNER = "<ID>dualtrack</ID><DisplayName>dualtrack</DisplayName>"
_PLAIN = re.compile(r"[\w \-./:()*~+=,;@!$%^#?|]*", re.ASCII)
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {'"': "&quot;", "\r": "&#xD;", "\n": "&#xA;", "\t": "&#x9;"}


def element(name: str, value: str | int | bool) -> str:
    return f"<{name}>{text(value)}</{name}>"


def text(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value):
        return value
    return escape(_UNSPEAKABLE.sub("�", value), _ENTITIES)


def document(root: str, body: str) -> bytes:
    return f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{body}</{root}>'.encode()


def quoted_etag(etag: str) -> str:
    return f"<ETag>&quot;{text(etag)}&quot;</ETag>"


def timestamp(ns: int) -> str:
    """As S3 prints it in a document: `2026-11-23T07:59:27.583Z`."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1_000_000:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def url_encoded(value: str) -> str:
    """A key under `encoding-type=url`. A space is %20, which every client decodes, never `+`."""
    return quote(value.encode("utf-8", "surrogateescape"), safe="/-_.*~")


def error(code: str, message: str, resource: str, request_id: str, details: dict[str, str]) -> bytes:
    body = element("Code", code) + element("Message", message)
    body += "".join(element(name, value) for name, value in details.items())
    body += element("Resource", resource) + element("RequestId", request_id)
    return f"{DECLARATION}<Error>{body}<HostId>dualtrack</HostId></Error>".encode()


class Node:
    """One element of a client's document, by local names."""

    def __init__(self, tree: ET.Element) -> None:
        self._tree = tree

    @property
    def name(self) -> str:
        return _local(self._tree)

    def all(self, name: str) -> Iterator[Node]:
        return (Node(child) for child in self._tree if _local(child) == name)

    def find(self, name: str) -> str | None:
        """The text of the first child of that name; None if there is none."""
        for child in self._tree:
            if _local(child) == name:
                return child.text or ""
        return None

    def require(self, name: str) -> str:
        value = self.find(name)
        if value is None:
            raise S3Error("MalformedXML", f"The document lacks the element {name}.")
        return value

    def child(self, name: str) -> Node:
        for node in self.all(name):
            return node
        raise S3Error("MalformedXML", f"The document lacks the element {name}.")


def parse(data: bytes, root: str) -> Node:
    """The document in `data`. Raises MalformedXML unless it is one and its root is called `root`."""
    try:
        source = data.decode("utf-8")
        if "<!DOCTYPE" in source or "<!ENTITY" in source:
            raise S3Error("MalformedXML", "A document type is not accepted.")
        node = Node(ET.fromstring(source))
    except (UnicodeDecodeError, ET.ParseError) as error:
        raise S3Error("MalformedXML", "The XML is not well-formed.") from error
    if node.name != root:
        raise S3Error("MalformedXML", f"The root element must be {root}.")
    return node


def _local(tree: ET.Element) -> str:
    return str(tree.tag).rpartition("}")[2]
