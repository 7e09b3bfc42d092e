"""Prometheus' service discovery over HTTP: the annotated pods of one namespace, with their names as labels.

Debian's Prometheus is built without the Kubernetes discovery; this gives it the same targets and labels.
A pod is listed as long as it has an address, terminating ones included, so that its last samples count.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SCRAPE, PORT = "prometheus.io/scrape", "prometheus.io/port"


def pods(namespace: str) -> list[dict[str, Any]]:
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    request = urllib.request.Request(
        f"{server}/api/v1/namespaces/{namespace}/pods",
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"},
    )
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=trust, timeout=5) as answer:
        items: list[dict[str, Any]] = json.load(answer)["items"]
    return items


def targets(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer that `http_sd_configs` wants."""
    result = []
    for pod in found:
        metadata, address = pod["metadata"], pod["status"].get("podIP")
        annotations = metadata.get("annotations", {})
        if address and annotations.get(SCRAPE) == "true":
            labels = {"namespace": metadata["namespace"], "pod": metadata["name"]}
            result.append({"targets": [f"{address}:{annotations.get(PORT, '80')}"], "labels": labels})
    return result


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            status, body = 200, json.dumps(targets(pods(os.environ["NAMESPACE"])))
        except OSError as error:
            status, body = 503, json.dumps({"error": repr(error)})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Prometheus asks each second; that is not news."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 9091), Handler).serve_forever()
