"""XML that clients send, and keys that XML can hardly hold."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from dualtrack.gateway import documents
from dualtrack.gateway.errors import S3Error


def test_parses_with_and_without_a_namespace() -> None:
    for attribute in ("", f' xmlns="{documents.NAMESPACE}"'):
        node = documents.parse(f"<Delete{attribute}><Quiet>true</Quiet></Delete>".encode(), "Delete")
        assert node.find("Quiet") == "true"
        assert node.find("Other") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<Delete>",
        b"<Other/>",
        b'<!DOCTYPE d [<!ENTITY a "b">]><Delete>&a;</Delete>',
        '<?xml version="1.0" encoding="UTF-16"?><Delete/>'.encode("utf-16"),
        b"<Delete>\xff</Delete>",
    ],
)
def test_refuses_what_is_no_document(data: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        documents.parse(data, "Delete")
    assert caught.value.code == "MalformedXML"


@pytest.mark.parametrize("key", ["a&b<c>\"'", "tab\tline\nreturn\r", "ü\U0001f600", " lead", "]]>"])
def test_text_survives_a_round_trip(key: str) -> None:
    tree = ET.fromstring(documents.document("R", documents.element("Key", key)))
    assert tree[0].text == key


def test_characters_that_xml_cannot_hold_are_replaced_and_url_encoding_keeps_them() -> None:
    key = "a\x01\udcffb"
    assert ET.fromstring(documents.document("R", documents.element("Key", key)))[0].text == "a��b"
    assert documents.url_encoded(key + " +/") == "a%01%FFb%20%2B/"


def test_timestamps_have_milliseconds() -> None:
    assert documents.timestamp(1_700_000_000_007_999_999) == "2023-11-14T22:13:20.007Z"
