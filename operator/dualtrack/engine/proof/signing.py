"""Ed25519 signatures over a report's root, by the `openssl` program.

A chain of hashes proves nothing against its own author: whoever can write the report can write all of it
anew. A signature, or a root that was published when the report was made, is the anchor outside. Keys are the
usual PEM files, so that anybody can check a signature without this program (`docs/reports.md` shows how);
what is signed is a short text with the root in it, which stands for everything else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dualtrack.errors import DifferenceError, UsageError

ALGORITHM = "ed25519"
_SECONDS = 30
_DER_SIZE = 44
"""A SubjectPublicKeyInfo of Ed25519 (RFC 8410). Another size is another kind of key."""


def statement(root: str) -> bytes:
    """What is signed."""
    return f"dualtrack report 1\nroot {root}\n".encode()


def sign(root: str, key_file: str) -> dict[str, str]:
    """Sign with the private key in a PEM file. `UsageError` if that cannot be done."""
    public = _run(["pkey", "-in", key_file, "-pubout", "-outform", "DER"], f"--sign-key {key_file}")
    key_id = _key_id(public, f"--sign-key {key_file}")
    with _in_memory(statement(root)) as path:
        value = _run(
            ["pkeyutl", "-sign", "-rawin", "-inkey", key_file, "-in", path], f"--sign-key {key_file}"
        )
    return {"algorithm": ALGORITHM, "keyID": key_id, "value": base64.b64encode(value).decode()}


def require_valid(root: str, signature: Mapping[str, str] | None, key_file: str) -> str:
    """The key's id, if the signature is that key's over this root; `DifferenceError` says what it is not."""
    public = _run(
        ["pkey", "-pubin", "-in", key_file, "-pubout", "-outform", "DER"], f"--public-key {key_file}"
    )
    key_id = _key_id(public, f"--public-key {key_file}")
    if signature is None:
        raise DifferenceError(f"the report is not signed, but {key_file} was given to check its signature")
    try:
        value = base64.b64decode(signature["value"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise DifferenceError("the report's signature cannot be read; get the file again") from error
    with _in_memory(statement(root)) as message, _in_memory(value) as signed:
        words = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key_file]
        ended = _openssl([*words, "-in", message, "-sigfile", signed])
    if ended.returncode != 0:
        raise DifferenceError(
            f"the signature is not {key_file}'s over {root}: the report was changed after it was signed, or "
            f"signed with another key (it names {signature.get('keyID')}, this one is {key_id})"
        )
    return key_id


def _key_id(public: bytes, what: str) -> str:
    if len(public) != _DER_SIZE:
        raise UsageError(f"{what} is no Ed25519 key; make one: openssl genpkey -algorithm ed25519")
    return "sha256:" + hashlib.sha256(public).hexdigest()


def _run(words: list[str], what: str) -> bytes:
    ended = _openssl(words)
    if ended.returncode != 0:
        told = ended.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{what}: openssl says {told[0] if told else ended.returncode}")
    return ended.stdout


def _openssl(words: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["openssl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            close_fds=False,
        )
    except FileNotFoundError as error:
        raise UsageError("signatures need the program openssl (3.0 or newer); install it") from error


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path under which openssl, which reads no Ed25519 message from a pipe, finds these bytes."""
    descriptor = os.memfd_create("dualtrack", 0)
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
