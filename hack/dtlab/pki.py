"""Keys and certificates of a local cluster, and the kubeconfigs that carry them.

One authority signs everything; keys are P-256, which takes milliseconds. Made anew with each cluster.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from dtlab.shell import run, write_if_changed

DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Authority:
    """The cluster's certificate authority, in a folder."""

    folder: Path

    def create(self) -> None:
        """Make the authority and the key that signs service account tokens, unless they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "ca.crt").exists():
            _key(self.folder / "ca.key")
            _into(
                self.folder / "ca.crt",
                [
                    "openssl",
                    "req",
                    "-x509",
                    "-new",
                    "-key",
                    str(self.folder / "ca.key"),
                    "-subj",
                    "/CN=dualtrack-lab",
                    "-days",
                    DAYS,
                    "-addext",
                    "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
                ],
            )
        if not (self.folder / "sa.pub").exists():
            _key(self.folder / "sa.key")
            _into(self.folder / "sa.pub", ["openssl", "ec", "-in", str(self.folder / "sa.key"), "-pubout"])

    def issue(self, name: str, subject: str, alternatives: str = "") -> None:
        """Sign `NAME.crt` for an openssl subject such as `/O=system:masters/CN=admin`.

        `alternatives` is a subjectAltName list (`IP:…,DNS:…`) for servers. What exists is kept.
        """
        certificate = self.folder / f"{name}.crt"
        if certificate.exists():
            return
        key, request, extensions = (self.folder / f"{name}{end}" for end in (".key", ".csr", ".ext"))
        _key(key)
        run(["openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request])
        lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth,serverAuth"]
        extensions.write_text(
            "\n".join([*lines, f"subjectAltName={alternatives}"] if alternatives else lines)
        )
        ca, ca_key = self.folder / "ca.crt", self.folder / "ca.key"
        _into(
            certificate,
            [
                "openssl",
                "x509",
                "-req",
                "-in",
                str(request),
                "-CA",
                str(ca),
                "-CAkey",
                str(ca_key),
                "-CAcreateserial",
                "-days",
                DAYS,
                "-extfile",
                str(extensions),
            ],
        )

    def kubeconfig(self, name: str, server: str, path: Path) -> None:
        """Write a kubeconfig that logs in by the certificate `name`; it needs no other file."""

        def data(file: str) -> str:
            return base64.b64encode((self.folder / file).read_bytes()).decode()

        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "lab", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": data(f"{name}.crt"),
                        "client-key-data": data(f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
            "current-context": "lab",
        }
        write_if_changed(path, json.dumps(config, indent=1) + "\n")
        path.chmod(0o600)


def _key(path: Path) -> None:
    _into(path, ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"])
    path.chmod(0o600)


def _into(path: Path, command: list[str]) -> None:
    """Write by rename, so that a killed run leaves no half file that looks like a whole one."""
    write_if_changed(path, run(command))
