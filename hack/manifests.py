"""Writes what is generated of the installation: the chart's copy of the CRD, and `manifests/install.yaml`.

`install.yaml` is the chart's rendering with its defaults, for `kubectl apply --server-side -f`, so there is
one description of the installation. `make manifests` runs this; a test runs it with `--check`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml
from helm_python import Chart

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "charts" / "dualtrack"
CRD: Final = ROOT / "crds" / "dualtrack.rustfs.com_metadatamigrations.yaml"
NAMESPACE: Final = "dualtrack-system"
HEADER: Final = (
    "# The rendering of charts/dualtrack with its defaults, written by `make manifests`. Do not edit.\n"
)
ORDER: Final = (
    "Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role",
    "RoleBinding", "ConfigMap", "Service", "Deployment", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
)  # fmt: skip


def documents(
    values: dict[str, Any] | None = None, namespace: str = NAMESPACE, release: str = "dualtrack"
) -> list[str]:
    """Every manifest that the chart renders, as text, in the order in which they can be applied."""
    with Chart.load(CHART) as chart:
        rendered = chart.render(values, name=release, namespace=namespace)
    texts = [
        text.strip("\n") + "\n"
        for path, content in rendered.items()
        if path.endswith(".yaml")
        for text in ("\n" + content).split("\n---")
        if yaml.safe_load(text)
    ]
    return sorted(texts, key=_rank)


def _rank(text: str) -> tuple[int, str, str]:
    manifest = yaml.safe_load(text)
    metadata = manifest["metadata"]
    kind = manifest["kind"]
    place = ORDER.index(kind) if kind in ORDER else len(ORDER)
    return place, metadata.get("namespace", ""), metadata["name"]


def install() -> str:
    """The whole of `install.yaml`: the chart's rendering and the namespace that Helm would create."""
    space = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n"
    return HEADER + "---\n".join([space, *documents()])


def generated() -> dict[Path, str]:
    """Each generated file with its content. The chart's CRD comes first: the rendering contains it."""
    return {CHART / "files" / "crd.yaml": CRD.read_text()}


def main() -> int:
    """Write the files, or with `--check` say which are out of date (exit status 1)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where something would change"
    )
    check = parser.parse_args().check
    stale = [path for path, text in generated().items() if not _settle(path, text, check)]
    if not (check and stale) and not _settle(ROOT / "manifests" / "install.yaml", install(), check):
        stale.append(ROOT / "manifests" / "install.yaml")
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'out of date; run make manifests' if check else 'written'}")
    return 1 if check and stale else 0


def _settle(path: Path, text: str, check: bool) -> bool:
    """Whether the file is as it should be already; if not, and not only checking, write it."""
    if path.exists() and path.read_text() == text:
        return True
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return False


if __name__ == "__main__":
    sys.exit(main())
