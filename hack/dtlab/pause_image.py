"""The image that holds each pod's name spaces: one static program, packed without any image tool."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from dtlab import tools
from dtlab.paths import cache, tool_bin

NAME = "docker.io/library/pause:dev"


def archive() -> Path:
    """The docker-archive, a megabyte; the same file as long as its content is the same."""
    tools.build(tools.NODE)
    layer = _tar({"pause": (tool_bin() / "pause").read_bytes()})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    files = {"config.json": _json(config), "layer.tar": layer, "manifest.json": _json(manifest)}
    path = cache() / "images" / "pause.tar"
    packed = _tar(files)
    if not path.exists() or path.read_bytes() != packed:
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".new").write_bytes(packed)
        path.with_suffix(".new").replace(path)
    return path


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
