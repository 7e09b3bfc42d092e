"""What the codec does not read, it names: the quarantine is made of these reasons."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import xxhash

from dualtrack.engine.formats import packing, xlmeta
from dualtrack.engine.formats.changes import new_delete_marker
from dualtrack.errors import CorruptError, UnsupportedFormatError

MARKER = new_delete_marker(version_id=bytes(range(16)), mod_time_ns=1_700_000_000_000_000_000)


def container(metadata: bytes, tail: bytes = b"") -> bytes:
    crc = xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF
    return (
        b"XL2 \x01\x00\x03\x00\xc6"
        + struct.pack(">I", len(metadata))
        + metadata
        + packing.pack_uint32(crc)
        + tail
    )


def metadata(
    *versions: tuple[bytes, bytes], header_ver: int = 3, meta_ver: int = 3, count: int | None = None
) -> bytes:
    numbers = (header_ver, meta_ver, len(versions) if count is None else count)
    items = [packing.pack_uint(number) for number in numbers]
    items += [packing.pack_bin(part) for version in versions for part in version]
    return b"".join(items)


GOOD = metadata((MARKER.header, MARKER.raw_body))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"XL2 \x01\x00\x04\x00\xc6\x00\x00\x00\x00", "xlmeta-newer"),
        (b"XL2 \x02\x00\x00\x00\xc6\x00\x00\x00\x00", "xlmeta-newer"),
        (container(metadata(header_ver=4)), "header-version"),
        (container(metadata(meta_ver=4)), "meta-version"),
        (container(GOOD, b"\x02\x80"), "inline-version"),
    ],
)
def test_a_form_that_is_not_read_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        xlmeta.decode(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"XL2 \x01\x00\x03\x00\xc6\x00\x00", "truncated"),
        (b"not an xl.meta", "magic"),
        (b"XL2 \x01\x00\x03\x00\xc5\x00\x00", "wrapper"),
        (container(GOOD)[:-5], "truncated"),
        (container(GOOD)[:-1] + b"\x00", "crc"),
        (container(GOOD + b"\x00"), "metadata"),
        (container(metadata(count=1000)), "metadata"),
        (container(b"\x03\x03\xff"), "metadata"),
        (container(b"\x03\x03\x01\xc6\xff\xff\xff\xff"), "metadata"),
        (container(metadata((b"\x97\x00", MARKER.raw_body))), "header"),
        (container(metadata((MARKER.header[:-4] + b"\x09\x00\x00\x00", MARKER.raw_body))), "header"),
        (container(metadata((MARKER.header, b""))), "body"),
        (container(metadata((MARKER.header, b"\x96\x00"))), "body"),
        (container(GOOD, b"\x01\x81\xa4null\xc6\xff\xff\xff\xff"), "inline"),
        (container(GOOD, b"\x01\x80\x00"), "inline"),
    ],
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(CorruptError) as caught:
        xlmeta.decode(data)
    assert caught.value.reason == reason


def test_a_header_that_names_another_kind_than_its_body_is_damage() -> None:
    meta = xlmeta.decode(container(metadata((MARKER.header[:-4] + b"\x01\x02\x00\x01", MARKER.raw_body))))
    with pytest.raises(CorruptError, match="another kind"):
        _ = meta.versions[0].body


@pytest.mark.parametrize(
    "header",
    [
        packing.pack_array([packing.pack_bin(MARKER.version_id), packing.pack_int(7), b"\x02", b"\x00"]),
        packing.pack_array(
            [
                packing.pack_bin(MARKER.version_id),
                packing.pack_int(7),
                packing.pack_bin(b"abcd"),
                b"\x02",
                b"\x00",
            ]
        ),
    ],
)
def test_older_headers_are_read(header: bytes) -> None:
    header_ver = 1 if header[0] == 0x94 else 2
    version = xlmeta.decode(container(metadata((header, MARKER.raw_body), header_ver=header_ver))).versions[0]
    assert (version.version_id, version.mod_time_ns, version.flags) == (MARKER.version_id, 7, 0)


def test_a_damaged_file_of_a_real_drive_is_told_by_its_crc(minio_drive: Path) -> None:
    data = bytearray((minio_drive / "versioned" / "many" / "xl.meta").read_bytes())
    data[200] ^= 1
    with pytest.raises(CorruptError) as caught:
        xlmeta.decode(bytes(data))
    assert caught.value.reason == "crc"
