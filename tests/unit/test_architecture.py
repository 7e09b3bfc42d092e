"""What the structure promises, read from the source itself.

import-linter (`make check`) holds the layers; this file holds what it cannot say: who may call the
primitives that remove, rename or write, and who imports a library that we wrap.
"""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "dualtrack"

REMOVERS = {"unlink", "remove", "rename", "renames", "replace", "rmdir", "removedirs", "rmtree", "move"}
FILE_MODULES = {"os", "shutil"}

SINGLE_IMPORTERS = {
    "kubernetes": {"adapters/kubernetes.py"},
    "prometheus_api_client": {"adapters/prometheus.py"},
    "lmdb": {"engine/stores/lmdb.py"},
    "psycopg": {
        "engine/stores/postgresql/connection.py",
        "engine/stores/postgresql/schemas.py",
        "engine/stores/postgresql/statements.py",
        "engine/stores/postgresql/store.py",
        "engine/stores/postgresql/transaction.py",
    },
    "rocksdict": {"engine/stores/rocksdb.py"},
    "blake3": {"engine/blake.py"},
    "highwayhash": {"engine/formats/bitrot.py"},
    "prometheus_client": {"gateway/metrics.py", "controller/metrics.py"},
    "pyarrow": {"engine/parquet.py"},
    "msgpack": {"engine/formats/wire.py", "engine/frames.py"},
    "msgspec": {"engine/formats/typed.py"},
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(), str(path))


def imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def removals(tree: ast.Module) -> set[str]:
    """Calls like `os.unlink(…)`, `shutil.rmtree(…)`, and pathlib's `.unlink()`, `.rmdir()`, `.rename(…)`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in FILE_MODULES:
            found |= {alias.name for alias in node.names if alias.name in REMOVERS}
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, name = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id in FILE_MODULES and name in REMOVERS:
            found.add(f"{owner.id}.{name}")
        elif name in {"unlink", "rmdir"} and not (isinstance(owner, ast.Name) and owner.id == "files"):
            found.add(name)
    return found


def test_only_one_module_removes_or_renames_files() -> None:
    data_plane = {
        name: removals(tree)
        for name, tree in sources()
        if name.startswith(("engine/", "gateway/", "bench/", "cli/"))
    }
    assert data_plane.pop("engine/files.py"), "engine/files.py is where the primitives are"
    assert {name: calls for name, calls in data_plane.items() if calls} == {}


@pytest.mark.parametrize("library", sorted(SINGLE_IMPORTERS))
def test_a_wrapped_library_is_imported_where_it_is_wrapped(library: str) -> None:
    importers = {name for name, tree in sources() if library in imported(tree)}
    assert importers <= SINGLE_IMPORTERS[library]
    assert importers, f"{library} is a dependency that nobody imports"


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    script = "import operator, sys; print(operator.__file__); assert operator.add(1, 2) == 3"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert str(ROOT) not in done.stdout


def test_each_guard_that_mutate_takes_out_stands_where_its_table_says() -> None:
    """So that whoever moves a guard moves its line in hack/mutate.py, too."""
    table = runpy.run_path(str(ROOT / "hack" / "mutate.py"))["MUTATIONS"]
    sources = {each.file: (PACKAGE / "engine" / each.file).read_text() for each in table}
    assert [each.hazard for each in table if sources[each.file].count(each.old) != 1] == []
    missing = [each.test for each in table if not (ROOT / each.test.split("::")[0]).exists()]
    assert missing == []


def test_every_module_says_why_it_exists() -> None:
    silent = [name for name, tree in sources() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def pages() -> Iterator[tuple[str, str]]:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        yield path.relative_to(ROOT).as_posix(), path.read_text()


def test_the_code_that_a_page_names_is_there() -> None:
    """`file.py`, `room/file.py` and `file.py: name`, in any page that a newcomer may read."""
    known = [*ROOT.glob("*.py"), *(path for top in ("operator", "tests", "hack", "benchmarks")
                                   for path in (ROOT / top).rglob("*.*"))]  # fmt: skip
    lost = []
    for page, text in pages():
        for name, of in re.findall(r"`([\w/]+\.(?:py|c|h|sh))\b(?:: (\w+))?", text):
            found = [path for path in known if f"/{path.relative_to(ROOT)}".endswith(f"/{name}")]
            if not any(not of or re.search(rf"\b{of}\b", path.read_text()) for path in found):
                lost.append(f"{page}: {name} {of}")
    assert lost == []
