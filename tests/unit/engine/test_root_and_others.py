"""A first run as root, and those who come after it as somebody else: nobody is locked out of the drive."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import files
from layers import opened
from smalldrive import small_bench

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
JOB = 10_001
REACHABLE = 0o755
OPERATOR = str(Path(__file__).parents[3] / "operator")
WARM = Path(__file__).parents[2] / "support/warmline.py"
AsJob = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everybody may go: pytest's own folder is root's alone."""
    made = Path(tempfile.mkdtemp(prefix="dualtrack-owners-"))
    made.chmod(REACHABLE)
    yield made
    shutil.rmtree(made)


@pytest.fixture(params=[(JOB, JOB, 0o755), (0, JOB, 0o2775)], ids=["its own drive", "a volume with fsGroup"])
def drive(request: pytest.FixtureRequest, minio_drive: Path, folder: Path) -> Path:
    """With a few objects of a server that is the Job's user; its root as a kubelet leaves a volume's."""
    made = small_bench(minio_drive, folder, 4).drive
    for path in made.rglob("*"):
        os.chown(path, JOB, JOB)
    uid, gid, mode = request.param
    os.chown(made, uid, gid)
    made.chmod(mode)
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    """Root, until all is imported: this Python may lie where nobody else can read it."""
    with subprocess.Popen(
        [sys.executable, str(WARM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": OPERATOR},
        cwd="/",
    ) as warm:
        yield warm
        assert warm.stdin is not None
        warm.stdin.close()
        assert warm.wait(timeout=60) == 0


@pytest.fixture
def as_job(server: subprocess.Popen[str], tmp_path: Path) -> AsJob:
    """The same command as uid 10001, in a process of its own."""
    errors = tmp_path / "stderr"

    def run(drive: Path, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["engine", *words, "--drive", str(drive), "--store", str(drive / ".dualtrack/store")]
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps({"words": command, "user": JOB, "stderr": str(errors)}) + "\n")
        assert int(server.stdout.readline())
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, code, stderr=errors.read_text())

    return run


def as_root(drive: Path, *words: str) -> int:
    return main(["engine", *words, "--drive", str(drive), "--store", str(drive / ".dualtrack/store")])


def control_files(drive: Path) -> list[Path]:
    return [drive / ".dualtrack", *(drive / ".dualtrack").rglob("*")]


def test_a_job_goes_on_where_root_has_begun(drive: Path, as_job: AsJob) -> None:
    assert as_root(drive, "migrate") == 0
    with opened(drive, "fs/1", socket=True):
        found = {(path.stat().st_uid, path.stat().st_gid) for path in control_files(drive)}
    like = drive.stat()
    assert found == {(like.st_uid, like.st_gid)}
    for words in (["migrate"], ["verify"], ["repair", "--strategy", "sync-to-kv"]):
        ended = as_job(drive, *words)
        assert ended.returncode == 0, ended.stderr
    assert as_root(drive, "cleanup", "hold", "--server-stopped") == 0
    ended = as_job(drive, "restore")
    assert ended.returncode == 0, ended.stderr
    assert as_root(drive, "verify") == 0


def test_what_root_made_with_an_older_build_is_put_right_by_its_next_run(drive: Path, as_job: AsJob) -> None:
    assert as_root(drive, "migrate") == 0
    for path in control_files(drive):
        if path.name in ("audit.jsonl", "journal", "owner.lock"):
            os.chown(path, 0, 0)
            path.chmod(0o644)
    refused = as_job(drive, "cleanup", "hold", "--server-stopped")
    assert refused.returncode != 0
    assert "Permission denied" in refused.stderr
    assert as_root(drive, "migrate") == 0
    ended = as_job(drive, "migrate")
    assert ended.returncode == 0, ended.stderr


def test_a_file_that_somebody_put_in_the_way_does_not_become_his(folder: Path) -> None:
    """Root must not be made to give a file away: one with a second name may be anybody's."""
    os.chown(folder, JOB, JOB)
    secret = folder.with_name(folder.name + "-secret")
    secret.write_text("root's")
    try:
        os.link(secret, folder / "audit.jsonl")
        os.close(files.open_log(str(folder / "audit.jsonl")))
        assert secret.stat().st_uid == 0
    finally:
        secret.unlink()
    other = folder / "others"
    other.write_text("")
    os.chown(other, JOB + 1, JOB + 1)
    os.close(files.open_log(str(other)))
    assert other.stat().st_uid == JOB + 1


def test_an_owner_whom_roots_user_namespace_does_not_know_stops_nobody(folder: Path) -> None:
    os.chown(folder, JOB, 0)
    folder.chmod(0o775)
    write = "import sys; from dualtrack.engine import files; files.write_new(sys.argv[1], b'whole')"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", write, str(folder / "file")]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": OPERATOR, "PATH": os.environ["PATH"]},
    )
    if ended.stderr.startswith("unshare:"):
        pytest.skip(f"no user namespaces here: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert (folder / "file").read_bytes() == b"whole"


def test_in_a_folder_of_roots_nothing_changes_hands(folder: Path) -> None:
    files.ensure_directory(str(folder / "new"))
    files.write_atomic(str(folder / "new/file"), b"")
    found = (folder / "new/file").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o644)


def test_a_step_that_may_not_write_its_entry_says_whose_the_audit_is(drive: Path, as_job: AsJob) -> None:
    assert as_root(drive, "migrate") == 0
    assert as_root(drive, "verify") == 0
    audit = drive / ".dualtrack/audit.jsonl"
    os.chown(audit, 0, 0)
    audit.chmod(0o644)
    refused = as_job(drive, "cleanup", "hold", "--server-stopped")
    assert refused.returncode == 40
    assert f"chown -R --reference={drive} {drive}/.dualtrack, then" in refused.stderr
