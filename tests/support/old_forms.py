"""Every old form of an object's metadata, written from the format's description and with none of our codec.

    python tests/support/old_forms.py        writes tests/data/formats/

A fixture is a file's bytes and what has to be read in it. The servers that wrote these forms are gone; real
files of most of them were compared with these by hand.
"""

from __future__ import annotations

import json
import struct
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgpack
import xxhash
from highwayhash import highwayhash_256

FOLDER = Path(__file__).parent.parent / "data" / "formats"

A, B, C = (uuid.UUID(int=number << 64 | number) for number in (0xA1, 0xB2, 0xC3))
NULL = uuid.UUID(int=0)
DATA_DIR = uuid.UUID("2bcefaca-44dd-4f01-a79e-63eeb0dda396")
T = 1_600_000_000_000_000_000
ETAG = "0cc175b9c0f1b6a831c399e269772661"
PI_KEY = bytes.fromhex("4be734fa8e238acd263e83e6bb968552040f935da39f441497e09d1322de36a0")
RUSTFS_KEY = struct.pack("<4Q", 3, 4, 2, 1)
ODD = b"seven hundred and seven bytes of old RustFS content ".ljust(707, b".")


@dataclass(frozen=True)
class Seen:
    """A version as it has to be read, and its content where that lies in the file."""

    version: uuid.UUID
    kind: str
    time: int
    size: int = 0
    etag: str | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Fixture:
    """`rustfs`: whether today's RustFS reads it: not the file, not all of its bodies, or whole."""

    name: str
    data: bytes
    form: str
    seen: tuple[Seen, ...]
    rustfs: Literal["file", "body", "whole"] = "file"


def pack(value: Any) -> bytes:
    return msgpack.packb(value, use_bin_type=True)


def crc(metadata: bytes) -> int:
    return xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF


def framed(content: bytes, key: bytes = PI_KEY, *, even: bool = False) -> bytes:
    stored = content + b"\0" if even and len(content) % 2 else content
    return highwayhash_256(key, stored) + stored


def inline(entries: dict[str, bytes]) -> bytes:
    return b"\x01" + pack(entries) if entries else b""


def v2(version: uuid.UUID, time: int, size: int = 3, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ID": version.bytes,
        "DDir": DATA_DIR.bytes,
        "EcAlgo": 1,
        "EcM": 1,
        "EcN": 0,
        "EcBSize": 10_485_760,
        "EcIndex": 1,
        "EcDist": [1],
        "CSumAlgo": 1,
        "PartNums": [1],
        "PartETags": None,
        "PartSizes": [size],
        "PartASizes": [size],
        "Size": size,
        "MTime": time,
        "MetaSys": None,
        "MetaUsr": {"etag": ETAG, "content-type": "text/plain"},
    }
    return {"Type": 1, "V2Obj": fields | changes}


def deletion(version: uuid.UUID, time: int, **meta_sys: bytes) -> dict[str, Any]:
    names = {key.replace("_", "-"): value for key, value in meta_sys.items()}
    return {"Type": 2, "DelObj": {"ID": version.bytes, "MTime": time, "MetaSys": names}}


def v1(time: int) -> dict[str, Any]:
    seconds, nanoseconds = divmod(time, 1_000_000_000)
    return {
        "Type": 3,
        "V1Obj": {
            "Version": "1.0.1",
            "Format": "xl",
            "Stat": {
                "Size": 20,
                "ModTime": msgpack.ExtType(5, struct.pack(">qI", seconds, nanoseconds)),
                "Name": "",
                "Dir": False,
                "Mode": 0,
            },
            "Erasure": {
                "Algorithm": "klauspost/reedsolomon/vandermonde",
                "DataBlocks": 2,
                "ParityBlocks": 2,
                "BlockSize": 10_485_760,
                "Index": 3,
                "Distribution": [3, 4, 1, 2],
                "Checksums": [{"PartNumber": 1, "Algorithm": 3, "Hash": b""}],
            },
            "Minio": {"Release": "RELEASE.2020-05-01T22-19-14Z"},
            "Meta": {"etag": ETAG, "content-type": "text/plain", "X-Amz-Meta-Color": "red"},
            "Parts": [{"e": "", "n": 1, "s": 20, "as": 20, "mt": msgpack.ExtType(5, bytes(12))}],
            "VersionID": "",
            "DataDir": "legacy",
        },
    }


def document(**changes: Any) -> bytes:
    """An `xl.json`, in MinIO's order of fields."""
    fields: dict[str, Any] = {
        "version": "1.0.1",
        "format": "xl",
        "stat": {"size": 20, "modTime": "2020-09-13T14:26:40.000000007+02:00"},
        "erasure": {
            "algorithm": "klauspost/reedsolomon/vandermonde",
            "data": 2,
            "parity": 2,
            "blockSize": 10_485_760,
            "index": 3,
            "distribution": [3, 4, 1, 2],
            "checksum": [{"name": "part.1", "algorithm": "highwayhash256S"}],
        },
        "minio": {"release": "RELEASE.2020-05-01T22-19-14Z"},
        "meta": {"content-type": "text/plain", "etag": ETAG, "X-Amz-Meta-Color": "red"},
        "parts": [{"number": 1, "name": "part.1", "etag": "", "size": 20, "actualSize": 20}],
    }
    return json.dumps(fields | changes, separators=(",", ":")).encode()


def header(version: uuid.UUID, time: int, kind: int, flags: int, header_ver: int) -> bytes:
    stamp = b"\xd3" + struct.pack(">q", time)
    signature = b"" if header_ver == 1 else b"\xc4\x04sign"
    shards = b"\x00\x01" if header_ver == 3 else b""
    count = {1: b"\x94", 2: b"\x95", 3: b"\x97"}[header_ver]
    return count + b"\xc4\x10" + version.bytes + stamp + signature + bytes((kind, flags)) + shards


def indexed(
    versions: list[tuple[bytes, bytes]], header_ver: int, meta_ver: int, entries: dict[str, bytes]
) -> bytes:
    metadata = bytes((header_ver, meta_ver)) + pack(len(versions))
    metadata += b"".join(pack(part) for version in versions for part in version)
    return container(metadata) + inline(entries)


def container(metadata: bytes) -> bytes:
    """A file of 1.3 without inline section."""
    head = b"XL2 \x01\x00\x03\x00\xc6" + struct.pack(">I", len(metadata))
    return head + metadata + b"\xce" + struct.pack(">I", crc(metadata))


def rustfs_time(time: int) -> list[int]:
    """2020-09-13T12:26:40Z, told with an offset of two hours and a half."""
    assert time // 1_000_000_000 == T // 1_000_000_000
    return [2020, 257, 14, 56, 40, time % 1_000_000_000, 2, 30, 0]


def rustfs_object(version: bytes | None, time: int, size: int) -> dict[str, Any]:
    return {
        "version_id": version,
        "data_dir": DATA_DIR.bytes,
        "erasure_algorithm": "ReedSolomon",
        "erasure_m": 1,
        "erasure_n": 0,
        "erasure_block_size": 1_048_576,
        "erasure_index": 1,
        "erasure_dist": [1],
        "bitrot_checksum_algo": "HighwayHash",
        "part_numbers": [1],
        "part_etags": [ETAG],
        "part_sizes": [size],
        "part_actual_sizes": [size],
        "part_indices": [b""],
        "size": size,
        "mod_time": rustfs_time(time),
        "meta_sys": {"x-rustfs-internal-inline-data": list(b"true")},
        "meta_user": {"etag": ETAG, "content-type": "text/plain"},
    }


TODAY = {
    "version_id": "ID",
    "data_dir": "DDir",
    "erasure_algorithm": "EcAlgo",
    "erasure_m": "EcM",
    "erasure_n": "EcN",
    "erasure_block_size": "EcBSize",
    "erasure_index": "EcIndex",
    "erasure_dist": "EcDist",
    "bitrot_checksum_algo": "CSumAlgo",
    "part_numbers": "PartNums",
    "part_etags": "PartETags",
    "part_sizes": "PartSizes",
    "part_actual_sizes": "PartASizes",
    "part_indices": "PartIdx",
    "size": "Size",
    "mod_time": "MTime",
    "meta_sys": "MetaSys",
    "meta_user": "MetaUsr",
}


def minio() -> Iterator[Fixture]:
    inlined = {"x-minio-internal-inline-data": b"true"}
    mixed = [deletion(C, T + 1), v2(A, T + 2), v1(T + 3), v2(B, T)]
    seen = (
        Seen(NULL, "object", T + 3, 20, ETAG),
        Seen(A, "object", T + 2, 3, ETAG),
        Seen(C, "deleteMarker", T + 1),
        Seen(B, "object", T, 3, ETAG),
    )
    yield Fixture("minio-1.0", b"XL2 1   " + pack({"Versions": mixed}), "1.0", seen)
    yield Fixture("minio-1.0-numbers", b"XL2 \x01\x00\x00\x00" + pack({"Versions": []}), "1.0", ())
    small = v2(NULL, T, MetaSys=inlined)
    one = (Seen(NULL, "object", T, 3, ETAG, b"abc"),)
    map11 = pack({"Versions": [small]})
    tail = inline({"null": framed(b"abc")})
    yield Fixture("minio-1.1", b"XL2 \x01\x00\x01\x00" + pack(map11) + tail, "1.1", one)
    map12 = pack({"Later": [1, {"a": b"b"}], "Versions": [v2(B, T - 1), small]})
    wrapped = b"\xc6" + struct.pack(">I", len(map12)) + map12 + pack(crc(map12))
    both = (*one, Seen(B, "object", T - 1, 3, ETAG))
    yield Fixture("minio-1.2", b"XL2 \x01\x00\x02\x00" + wrapped + tail, "1.2", both)
    without = (Seen(NULL, "object", T, 3, ETAG),)
    # The marker says inline, yet the content lies in a part file: seen on real drives.
    yield Fixture("minio-1.2-marker-without-data", b"XL2 \x01\x00\x02\x00" + _with_crc(map11), "1.2", without)
    free = deletion(
        A, T, **{"x_minio_internal_free_version": b"", "x_minio_internal_transition_tier": b"WARM"}
    )
    map_free = pack({"Versions": [free]})
    yield Fixture(
        "minio-1.2-free-version",
        b"XL2 \x01\x00\x02\x00" + _with_crc(map_free),
        "1.2",
        (Seen(A, "freeVersion", T),),
    )
    for header_ver in (1, 2):
        body = pack(small)
        data = indexed([(header(NULL, T, 1, 6, header_ver), body)], header_ver, 1, {"null": framed(b"abc")})
        yield Fixture(f"minio-1.3-header-{header_ver}", data, "1.3", one, "whole")
    by_directory = indexed([(header(NULL, T, 1, 6, 3), pack(small))], 3, 2, {str(DATA_DIR): framed(b"abc")})
    yield Fixture("minio-1.3-inline-by-data-directory", by_directory, "1.3", one, "whole")
    taken_over = [(header(A, T + 9, 1, 2, 3), pack(v2(A, T + 9))), (header(NULL, T, 3, 0, 3), pack(v1(T)))]
    yield Fixture(
        "minio-1.3-taken-over",
        indexed(taken_over, 3, 3, {}),
        "1.3",
        (Seen(A, "object", T + 9, 3, ETAG), Seen(NULL, "object", T, 20, ETAG)),
        "body",
    )
    tiered = {
        "x-minio-internal-transition-status": b"complete",
        "x-minio-internal-transitioned-object": b"ab/cd/x",
        "x-minio-internal-transition-tier": b"WARM",
    }
    purged = {"X-Minio-Internal-purgestatus": b"arn=PENDING;"}
    special = [
        (header(A, T + 2, 1, 0, 3), pack(v2(A, T + 2, MetaSys=tiered))),
        (header(B, T + 1, 1, 2, 3), pack(v2(B, T + 1, MetaSys=purged))),
        (header(C, T, 2, 1, 3), pack(deletion(C, T, x_minio_internal_free_version=b""))),
    ]
    yield Fixture(
        "minio-1.3-tiered-purged-free",
        indexed(special, 3, 3, {}),
        "1.3",
        (
            Seen(A, "object", T + 2, 3, ETAG),
            Seen(B, "pendingPurge", T + 1, 3, ETAG),
            Seen(C, "freeVersion", T),
        ),
        "whole",
    )
    nil = indexed([(header(NULL, T, 1, 6, 3), pack(v2(NULL, T, ID=None)))], 3, 3, {})
    yield Fixture("nil-for-the-null-version", nil, "1.3", without, "body")
    metadata = b"\x03\x03\x00"
    short = b"XL2 \x01\x00\x03\x00" + pack(metadata) + pack(crc(metadata))
    yield Fixture("minio-1.3-no-versions-short-wrapper", short, "1.3", ())


def _with_crc(metadata: bytes) -> bytes:
    return pack(metadata) + b"\xce" + struct.pack(">I", crc(metadata))


def rustfs() -> Iterator[Fixture]:
    fields = rustfs_object(None, T + 5, len(ODD))
    nil = {str(NULL): framed(ODD, RUSTFS_KEY, even=True)}
    head = header(NULL, T + 5, 1, 4, 3)
    odd = (Seen(NULL, "object", T + 5, 707, ETAG, ODD),)
    body = pack(["Object", list(fields.values()), None, 1])
    yield Fixture("rustfs-positions", indexed([(head, body)], 3, 2, nil), "1.3", odd, "whole")
    names = pack({"version_type": "Object", "object": fields, "delete_marker": None, "write_version": 1})
    yield Fixture("rustfs-names", indexed([(head, names)], 3, 2, nil), "1.3", odd, "whole")
    today = {TODAY[name]: value for name, value in fields.items()}
    five = pack(["Object", None, list(fields.values()), None, 1])
    yield Fixture("rustfs-five-positions", indexed([(head, five)], 3, 2, nil), "1.3", odd, "whole")
    named = pack({"Type": "Object", "V1Obj": None, "V2Obj": today, "DelObj": None, "v": 1})
    yield Fixture("rustfs-names-of-today", indexed([(head, named)], 3, 2, nil), "1.3", odd, "whole")
    marker = pack(["Delete", None, [A.bytes, rustfs_time(T + 6), {}], 1])
    later = pack(["DeleteMarker", None, [B.bytes, rustfs_time(T + 7), {}], 1])
    versions = [(header(B, T + 7, 2, 0, 3), later), (header(A, T + 6, 2, 0, 3), marker), (head, body)]
    seen = (Seen(B, "deleteMarker", T + 7), Seen(A, "deleteMarker", T + 6), *odd)
    yield Fixture("rustfs-deletions", indexed(versions, 3, 2, nil), "1.3", seen, "whole")


def json_documents() -> Iterator[Fixture]:
    seen = (Seen(NULL, "object", T + 7, 20, ETAG),)
    yield Fixture("xl-json", document(), "json", seen)
    parts = [
        {"number": number, "name": f"part.{number}", "etag": ETAG, "size": 5_242_880, "actualSize": 5_242_880}
        for number in (1, 2)
    ]
    sums = [{"name": f"part.{n}", "algorithm": "blake2b", "hash": "ab" * 64} for n in (1, 2)]
    erasure = json.loads(document())["erasure"] | {"checksum": sums}
    many = document(
        version="1.0.0",
        stat={"size": 10_485_760, "modTime": "2020-09-13T12:26:40Z", "name": "", "dir": False, "mode": 0},
        erasure=erasure,
        parts=parts,
        meta={"etag": f"{ETAG}-2"},
        versionId="null",
        dataDir="legacy",
    )
    yield Fixture("xl-json-two-parts", many, "json", (Seen(NULL, "object", T, 10_485_760, f"{ETAG}-2"),))


def fixtures() -> tuple[Fixture, ...]:
    return (*minio(), *rustfs(), *json_documents())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in fixtures():
        (FOLDER / each.name).write_bytes(each.data)
    sys.stdout.write(f"{len(fixtures())} files in {FOLDER}\n")
