"""Files that are wrong in their structure and right in their CRC: MessagePack is taken apart into its items,
a few of them are changed, and lengths and CRC around them are made anew.

What changing single bytes seldom reaches: other tags for the same value, values at the bounds of each width,
counts that announce one item more or ten thousand, fields twice, items of other types, deep nesting,
extensions, text that is no UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgpack
import xxhash

_PREFIX = b"XL2 \x01\x00\x03\x00\xc6"
_NAMES = [
    b"ID", b"DDir", b"EcAlgo", b"EcM", b"EcN", b"EcBSize", b"EcIndex", b"EcDist", b"CSumAlgo", b"PartNums",
    b"PartETags", b"PartSizes", b"PartASizes", b"PartIdx", b"Size", b"MTime", b"MetaSys", b"MetaUsr", b"Type",
    b"V2Obj", b"DelObj", b"V1Obj", b"v", b"null", b"", b"etag", b"ETag", b"content-type", b"x-amz-tagging",
    b"X-Amz-Storage-Class", b"x-minio-internal-inline-data", b"X-Rustfs-Internal-Compression",
    b"x-minio-internal-purgestatus", b"x-amz-server-side-encryption", b"x-amz-meta-a", b"X-Amz-Meta-A",
    b"X-Minio-Internal-Server-Side-Encryption-Sealed-Key", b"x-rustfs-encryption-iv",
]  # fmt: skip
_TEXTS = [
    b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", "é漢😀".encode(),
    b"a" * 31, b"a" * 32, b"a" * 255, b"a" * 256, b"0" * 32 + b"-1", b"0" * 32 + b"-10000000000",
    b"20000f00" + b"0" * 30, b"STANDARD", b"a=b&c=%2", b"a=%41&a=A&=", b"+%20&&",
]  # fmt: skip
_BOUNDS = [0, 1, 2, 4, 127, 128, 255, 256, 65_535, 65_536, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
_BOUNDS += [-each - 1 for each in _BOUNDS[:-2]]
_COUNTS = [0, 1, 2, 15, 16, 10_000, 10_001, 65_535, 2**32 - 1]
_FIXED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xCA: 4, 0xCB: 8}
_COUNTED = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}


def mutated(random: Random, file: bytes) -> bytes:
    """Of a sound file of version 1.3, one that may be sound or not."""
    end = 13 + int.from_bytes(file[9:13], "big")
    items, rest = _items(file[13:end]), file[end + 5 :]
    where = random.randrange(10)
    if where == 0:
        items = _changed(random, items)
    elif where == 1 and rest:
        rest = rest[:1] + b"".join(_changed(random, _items(rest[1:])))
    elif len(items) > 4:
        # Behind three numbers stand a header and a body for each version; the first body counts most.
        number = random.choice([4, 4, random.randrange(3, len(items))])
        body = b"".join(_changed(random, _items(_content(items[number]))))
        items[number] = _sized(random, body, (0xC4, 0xC5, 0xC6))
    metadata = b"".join(items)
    crc = (xxhash.xxh64_intdigest(metadata) & 0xFFFFFFFF).to_bytes(4, "big")
    return _PREFIX + len(metadata).to_bytes(4, "big") + metadata + b"\xce" + crc + rest


def _items(data: bytes) -> list[bytes]:
    """Heads of maps and arrays are items of their own; what is cut off at the end is one, too."""
    found, at = [], 0
    while at < len(data):
        tag = data[at]
        size = 1 + _FIXED.get(tag, _COUNTED.get(tag, 0))
        if 0xA0 <= tag < 0xC0:
            size += tag & 0x1F
        elif width := _SIZED.get(tag):
            size += width + int.from_bytes(data[at + 1 : at + 1 + width], "big")
        found.append(data[at : at + size])
        at += size
    return found


def _content(item: bytes) -> bytes:
    return item[1 + _SIZED.get(item[0], 0) :]


def _changed(random: Random, items: Sequence[bytes]) -> list[bytes]:
    changed = list(items)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        if not changed:
            break
        number = random.randrange(len(changed))
        match random.randrange(6):
            case 0:
                del changed[number]
            case 1:
                changed.insert(number, changed[number])
            case 2:
                other = random.randrange(len(changed))
                changed[number], changed[other] = changed[other], changed[number]
            case 3:
                changed[number] = _anything(random)
            case _:
                changed[number : number + 1] = _alike(random, changed[number])
    return changed


def _alike(random: Random, item: bytes) -> list[bytes]:
    """An item of the same type: another value of it, or the same one in another form."""
    tag = item[0]
    if 0x80 <= tag < 0xA0 or tag in _COUNTED:
        is_map = tag < 0x90 or tag >= 0xDE
        count = min(int.from_bytes(item[1:], "big"), 1 << 20) if tag in _COUNTED else tag & 0x0F
        if is_map and random.random() < 0.5:
            name = _sized(random, random.choice(_NAMES), (0xD9, 0xDA, 0xDB))
            return [_head(random, count + 1, is_map=True), name, _anything(random)]
        return [_head(random, max(0, count + random.choice([-1, 0, 0, 1])), is_map=is_map)]
    if 0xA0 <= tag < 0xC0 or 0xD9 <= tag <= 0xDB:
        text = random.choice([_content(item), random.choice(_NAMES), random.choice(_TEXTS)])
        return [_sized(random, text, (0xD9, 0xDA, 0xDB))]
    if tag in _SIZED:
        return [_sized(random, _content(item)[: random.choice([0, 15, 1_000])], (0xC4, 0xC5, 0xC6))]
    return [_number(random)]


def _anything(random: Random) -> bytes:
    match random.randrange(7):
        case 0 | 1:
            return _number(random)
        case 2:
            return _sized(random, random.choice([*_NAMES, *_TEXTS]), (0xD9, 0xDA, 0xDB))
        case 3:
            return _sized(random, random.randbytes(random.choice([0, 15, 16, 17])), (0xC4, 0xC5, 0xC6))
        case 4:
            return _head(random, random.choice(_COUNTS), is_map=random.random() < 0.5)
        case 5:
            return random.choice([b"\x91", b"\x81\xa1a"]) * random.randrange(1, 40) + b"\xc0"
        case _:
            extension = msgpack.packb(msgpack.ExtType(5, bytes(12)))
            return random.choice([b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xcb" + bytes(8), extension])


def _number(random: Random) -> bytes:
    """In its shortest form or any other that holds it."""
    value = random.choice(_BOUNDS)
    forms = [msgpack.packb(value)]
    for tag in range(0xCC, 0xD4):
        width, signed = _FIXED[tag], tag >= 0xD0
        if -(1 << 8 * width - 1) * signed <= value < 1 << 8 * width - signed:
            forms.append(bytes((tag,)) + value.to_bytes(width, "big", signed=signed))
    return random.choice(forms)


def _sized(random: Random, content: bytes, tags: Sequence[int]) -> bytes:
    widths = [tag for tag in tags if len(content) < 1 << 8 * _SIZED[tag]]
    tag = random.choice([widths[0], widths[0], *widths])
    if tag == 0xD9 and len(content) < 32 and random.random() < 0.7:
        return bytes((0xA0 | len(content),)) + content
    return bytes((tag,)) + len(content).to_bytes(_SIZED[tag], "big") + content


def _head(random: Random, count: int, *, is_map: bool) -> bytes:
    tags = [tag for tag in ((0xDE, 0xDF) if is_map else (0xDC, 0xDD)) if count < 1 << 8 * _COUNTED[tag]]
    forms = [bytes((tag,)) + count.to_bytes(_COUNTED[tag], "big") for tag in tags]
    return random.choice([bytes(((0x80 if is_map else 0x90) | count,)), *forms] if count < 16 else forms)
