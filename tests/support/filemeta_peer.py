"""RustFS's own codec as a function: files in, what it makes of them out (`hack/rust/filemeta-peer`).

`describe` says the same of our decoder's result in the same shape, so that a test is one comparison.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtlab import tools
from dtlab.paths import tool_bin
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.bodies import Body, DeleteBody, Form, ObjectBody
from dualtrack.engine.formats.changes import add_version
from dualtrack.engine.formats.versions import (
    FLAG_FREE_VERSION,
    FLAG_INLINE_DATA,
    FLAG_USES_DATA_DIR,
    Kind,
    Version,
    build_version,
    kind_of,
)
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.errors import FormatError

Told = dict[str, Any]

NIL = str(uuid.UUID(int=0))


def _run(verb: str, data: bytes) -> bytes:
    tools.build(tools.PEERS)
    program = tool_bin() / "filemeta-peer"
    return subprocess.run([program, verb], input=data, capture_output=True, check=True).stdout


def read(files: Sequence[bytes]) -> list[Told]:
    """What RustFS reads in each file: `versions` and `inline`, or an `error`."""
    lines = _run("read", b"".join(struct.pack(">I", len(each)) + each for each in files)).splitlines()
    assert len(lines) == len(files)
    return [json.loads(line) for line in lines]


def write(wanted: Sequence[Told]) -> list[bytes]:
    """The files that RustFS writes when it adds each one's versions in their order."""
    written = _run("write", b"".join(json.dumps(each).encode() + b"\n" for each in wanted))
    files: list[bytes] = []
    while written:
        (size,) = struct.unpack_from(">I", written)
        files.append(written[4 : 4 + size])
        written = written[4 + size :]
    assert len(files) == len(wanted)
    return files


# --- the same of ours ----------------------------------------------------------------------------------


def describe(data: bytes) -> Told:
    meta = xlmeta.decode(data)
    return {
        "metaVer": meta.meta_ver,
        "versions": [_version(version) for version in meta.versions],
        "inline": {key: meta.inline[key].hex() for key in _asked(meta) if key in meta.inline},
    }


def _asked(meta: XlMeta) -> Iterator[str]:
    for version in meta.versions:
        yield version.version_key
        if version.version_key == "null":
            yield NIL


def _version(version: Version) -> Told:
    header = xlmeta.wire.loads(version.header, "test")
    assert isinstance(header, list)
    shards = header[5:7] if len(header) == 7 else [0, 0]
    told: Told = {
        "id": str(uuid.UUID(bytes=version.version_id)),
        "time": version.mod_time_ns,
        "signature": version.signature.hex(),
        "type": int(version.file_type),
        "flags": version.flags,
        "ecN": shards[0],
        "ecM": shards[1],
    }
    try:
        told["body"] = _body(version)
    except FormatError as error:
        told["error"] = str(error)
    return told


def _body(version: Version) -> Told:
    body = version.body
    told: Told = {
        "id": str(uuid.UUID(bytes=body.version_id)),
        "time": body.mod_time_ns,
        "writtenBy": body.written_by,
        "free": version.kind is Kind.FREE_VERSION,
        "metaSys": {key: value.hex() for key, value in body.meta_sys.items()},
    }
    if isinstance(body, ObjectBody):
        told["earlyChecksum"] = body.form is Form.RUSTFS
        told["object"] = {
            "dataDir": str(uuid.UUID(bytes=body.data_dir)),
            "ecAlgo": body.ec_algo,
            "ecM": body.ec_m,
            "ecN": body.ec_n,
            "ecBlockSize": body.ec_block_size,
            "ecIndex": body.ec_index,
            "ecDist": list(body.ec_dist),
            "csumAlgo": body.csum_algo,
            "partNums": list(body.part_nums),
            "partETags": list(body.part_etags),
            "partSizes": list(body.part_sizes),
            "partActualSizes": list(body.part_actual_sizes),
            "partIndices": [index.hex() for index in body.part_indices],
            "size": body.size,
            "metaUser": body.meta_user,
        }
    return told


def comparable(told: Told) -> Told:
    """Without what the two count differently: signatures, and the sign of old content beside a deletion."""
    versions = []
    for version in told["versions"]:
        body = version.get("body")
        if body is not None:
            kept = {key: value for key, value in body.items() if key != "signature"}
            if "object" not in kept:
                kept.pop("earlyChecksum", None)
            version = {**version, "body": kept}
        versions.append(version)
    return {**told, "versions": versions}


# --- generated version graphs ----------------------------------------------------------------------------

_TEXTS = ("", "a", "etag", "content-type", "X-Amz-Meta-Größe", "日本", "x" * 300, "text/plain; charset=utf-8")
_LENGTHS = (*(0, 1, 40, 300) * 30, 70_000)
_INTERNAL = ("crc", "replication-status", "purgestatus", "compression", "transition-tier", "actual-size")


def graph(seed: int) -> Told:
    """A file's versions in an order of their addition: equal times, null versions, every kind."""
    rng = random.Random(seed)
    ids = [NIL, *(str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(12))]
    rng.shuffle(ids)
    versions = [_graph_version(rng, version_id) for version_id in ids[: rng.randint(0, 9)]]
    inline = {
        "null" if v["id"] == NIL else v["id"]: rng.randbytes(rng.choice(_LENGTHS)).hex()
        for v in versions
        if "object" in v and rng.random() < 0.5
    }
    return {"versions": versions, "inline": inline}


def _graph_version(rng: random.Random, version_id: str) -> Told:
    time = rng.choice((1, 1_700_000_000_000_000_000 + rng.randint(0, 3), rng.randint(1, 2**62)))
    meta_sys = {
        rng.choice(("x-minio-internal-", "x-rustfs-internal-", "X-Minio-Internal-")) + name: rng.randbytes(
            rng.choice((0, 1, 4, 300))
        ).hex()
        for name in rng.sample(_INTERNAL, rng.randint(0, 3))
    }
    told: Told = {
        "id": version_id,
        "time": time,
        "writtenBy": rng.choice((0, 1_753_286_042)),
        "metaSys": meta_sys,
    }
    kind = rng.random()
    if kind < 0.25:
        return told
    if kind < 0.4:
        meta_sys["x-minio-internal-free-version"] = ""
        return told
    if rng.random() < 0.5:
        meta_sys["x-minio-internal-inline-data"] = b"true".hex()
    sizes = [rng.choice((0, 1, 127, 128, 70_000, 2**33)) for _ in range(rng.choice((0, 1, 1, 1, 3, 40)))]
    data, parity = rng.choice(((1, 0), (2, 2), (8, 4)))
    told["object"] = {
        "dataDir": str(uuid.UUID(int=rng.getrandbits(128))),
        "ecAlgo": 1,
        "ecM": data,
        "ecN": parity,
        "ecBlockSize": rng.choice((1_048_576, 10_485_760)),
        "ecIndex": rng.randint(1, data + parity),
        "ecDist": rng.sample(range(1, data + parity + 1), data + parity),
        "csumAlgo": 1,
        "partNums": list(range(1, len(sizes) + 1)),
        "partETags": rng.choice(([], [rng.choice(_TEXTS) for _ in sizes])),
        "partSizes": sizes,
        "partActualSizes": rng.choice(([], sizes, [-1 for _ in sizes])),
        "partIndices": rng.choice(([], [rng.randbytes(5).hex() for _ in sizes])),
        "size": sum(sizes),
        "metaUser": {name: rng.choice(_TEXTS) for name in rng.sample(_TEXTS, rng.randint(0, 4))},
    }
    return told


def ours(wanted: Told) -> bytes:
    """The file that we write when we add these versions in their order."""
    meta = xlmeta.empty()
    for version in wanted["versions"]:
        meta = add_version(meta, _built(version))
    inline = {key: bytes.fromhex(value) for key, value in wanted["inline"].items()}
    return xlmeta.encode(XlMeta(meta.versions, inline))


def _built(wanted: Told) -> Version:
    body = _built_body(wanted)
    flags = 0
    if isinstance(body, ObjectBody):
        flags = FLAG_USES_DATA_DIR
        flags |= FLAG_INLINE_DATA if "x-minio-internal-inline-data" in body.meta_sys else 0
    elif "x-minio-internal-free-version" in body.meta_sys:
        flags = FLAG_FREE_VERSION
    return build_version(body, kind_of(body, flags), flags)


def _built_body(wanted: Told) -> Body:
    version_id = uuid.UUID(wanted["id"]).bytes
    meta_sys = {key: bytes.fromhex(value) for key, value in wanted["metaSys"].items()}
    fields: Mapping[str, Any] | None = wanted.get("object")
    if fields is None:
        return DeleteBody(version_id, wanted["time"], meta_sys, wanted["writtenBy"])
    return ObjectBody(
        version_id=version_id,
        data_dir=uuid.UUID(fields["dataDir"]).bytes,
        ec_algo=fields["ecAlgo"],
        ec_m=fields["ecM"],
        ec_n=fields["ecN"],
        ec_block_size=fields["ecBlockSize"],
        ec_index=fields["ecIndex"],
        ec_dist=tuple(fields["ecDist"]),
        csum_algo=fields["csumAlgo"],
        part_nums=tuple(fields["partNums"]),
        part_etags=tuple(fields["partETags"]),
        part_sizes=tuple(fields["partSizes"]),
        part_actual_sizes=tuple(fields["partActualSizes"]),
        part_indices=tuple(bytes.fromhex(index) for index in fields["partIndices"]),
        size=fields["size"],
        mod_time_ns=wanted["time"],
        meta_sys=meta_sys,
        meta_user=dict(fields["metaUser"]),
        written_by=wanted["writtenBy"],
    )


# --- comparisons -----------------------------------------------------------------------------------------


def compare_drive(drive: Path) -> tuple[int, list[str]]:
    """Assert that both read every `xl.meta` of a drive alike, and that it is rebuilt byte for byte.

    Answers how many there are, and the directories of those that RustFS cannot read and we can.
    """
    paths = sorted(path for path in drive.rglob("xl.meta") if path.is_file())
    unread: list[str] = []
    for start in range(0, len(paths), 500):
        part = paths[start : start + 500]
        files = [path.read_bytes() for path in part]
        for path, data, told in zip(part, files, read(files), strict=True):
            assert xlmeta.encode(replace(xlmeta.decode(data), source=None)) == data, path
            if not alike(data, told):
                unread.append(str(path.parent.relative_to(drive)))
    return len(paths), unread


def alike(data: bytes, told: Told) -> bool:
    """Whether RustFS read all of it; what it read has to be what we read."""
    mine = describe(data)
    whole = True
    for ours_, theirs in zip(mine["versions"], told["versions"], strict=True):
        if "error" in theirs:
            whole = False
            del theirs["error"], ours_["body"]
    assert comparable(mine) == comparable(told)
    return whole


def compare_graphs(seeds: Sequence[int] | range) -> None:
    """Both write each generated file, and each reads what the other wrote: all four say the same."""
    for start in range(0, len(seeds), 500):
        part = seeds[start : start + 500]
        wanted = [graph(seed) for seed in part]
        for files in (write(wanted), [ours(each) for each in wanted]):
            for seed, data, told, asked in zip(part, files, read(files), wanted, strict=True):
                mine = comparable(describe(data))
                assert mine == comparable(told), f"seed {seed}"
                assert _bodies(mine) == _bodies(asked), f"seed {seed}"
                assert xlmeta.encode(replace(xlmeta.decode(data), source=None)) == data, f"seed {seed}"


def _bodies(told: Told) -> dict[str, Any]:
    """What was asked for, by version, whatever the order and the headers."""
    found = {}
    for version in told["versions"]:
        body = version.get("body", version)
        fields = body.get("object")
        if fields and not any(fields["partETags"]):
            fields = {**fields, "partETags": []}  # MinIO writes none where all are empty, and so do we
        found[version["id"]] = (body["time"], body["writtenBy"], body["metaSys"], fields)
    return found
