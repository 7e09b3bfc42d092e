"""A model of the outside for the rollout: a Deployment, its pods, Jobs, a drive's marker, Prometheus.

It plays what Kubernetes, the gateway and the engine do with the operator's actions, second by second, and
keeps a record of it. It knows no rule of the rollout; what it does know are the contracts of the others,
above all which modes a marker lets a server start in.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dualtrack.api import names
from dualtrack.api.status import MigrationStatus
from dualtrack.rollout.decide import decide
from dualtrack.rollout.decision import Apply, Create, Decision, Delete, Event, MergePatch
from dualtrack.rollout.queries import queries
from dualtrack.rollout.world import (
    Acknowledgement,
    Installation,
    JobView,
    Matrix,
    Observation,
    Query,
    QueryFailure,
    QueryResult,
    Series,
)

START = 1_800_000_000.0
SCRAPE = 15
ALLOWED = {
    "FsAuthoritative": {("fs", "0", "true")},
    "KvPrimary": {("kv_primary", "1", "true"), ("kv_primary", "1", "false")},
    "KvOnly": {("kv_only", "1", "false"), ("kv_primary", "1", "false")},
    "Purged": {("kv_only", "1", "false"), ("kv_primary", "1", "false")},
}
_OPERATIONS = ("put_object", "get_object", "delete_object", "list_objects")


def text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def spec(**changes: Any) -> dict[str, Any]:
    """A short migration: two phases, minutes for days, bounds that hundreds of samples show."""
    phase = {"warmupSeconds": 90, "observationSeconds": 300, "deadlineSeconds": 86_400}
    evidence = {"confidencePercent": 95, "minimumBadEvents": 5, "onInsufficient": "Wait"}
    base: dict[str, Any] = {
        "target": {
            "name": "rustfs",
            "containerName": "rustfs",
            "changeDeadlineSeconds": 300,
            "acknowledgement": {"port": 9000, "scheme": "HTTP", "secretRef": {"name": "ack"}},
        },
        "drives": [{"name": "data", "mountPath": "/data"}],
        "prometheus": {"address": "http://prometheus.monitoring:9090", "scrapeIntervalSeconds": SCRAPE},
        "gates": [
            {"name": "error-rate", "preset": "error-rate", "max": "0.01", "evidence": evidence},
            {
                "name": "put-latency",
                "preset": "latency-fraction",
                "args": [
                    {"name": "operation", "value": "put"},
                    {"name": "thresholdMilliseconds", "value": "100"},
                ],
                "max": "0.05",
                "evidence": evidence,
            },
            {
                "name": "consistency",
                "preset": "consistency-errors",
                "max": "0",
                "severity": "Critical",
                "evidence": {"minimumSamples": 50},
            },
            {"name": "restarts", "preset": "container-restarts", "max": "0"},
            {"name": "ready", "preset": "ready-fraction", "max": "0.01"},
        ],
        "evaluation": {"intervalSeconds": 30, "failureWindowSeconds": 120, "consecutiveFailureLimit": 2},
        "validation": {"policy": "Skip", "skipReason": "shown elsewhere"},
        "phases": [
            {"name": "Canary", "ratioPercent": 5, **phase},
            {"name": "FullOut", "ratioPercent": 100, **phase},
        ],
        "completing": {"observationSeconds": 300, "soakSeconds": 120, "snapshotClaimName": "snapshot"},
    }
    return {**base, **changes}


class Scraped(dict[frozenset[tuple[str, str]], list[tuple[float, float]]]):
    """Samples by labels. A copied world has lists of its own; labels and samples never change and are shared:
    copying each of them would take most of the time of the tests that begin in the middle of the way.
    """

    def __deepcopy__(self, _: dict[int, Any]) -> Scraped:
        return Scraped({labels: list(samples) for labels, samples in self.items()})


class Counters(dict[tuple[str, tuple[tuple[str, str], ...]], float]):
    """Of one process, by name and labels; for its copy see `Scraped`."""

    def __deepcopy__(self, _: dict[int, Any]) -> Counters:
        return Counters(self)


@dataclass
class World:
    """Everything outside the operator. Change an attribute to make something happen."""

    now: float = START
    migration: dict[str, Any] = field(default_factory=dict)
    deployment: dict[str, Any] | None = None
    pods: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    lease: dict[str, Any] | None = None
    holder_exists: bool | None = None
    marker: str = "FsAuthoritative"
    prometheus_up: bool = True
    scraping: bool = True
    errors_per_second: float = 0.0
    slow_share: float = 0.0
    divergences: int = 0
    requests_per_second: float = 20.0
    job_seconds: float = 20.0
    failing_steps: dict[str, int] = field(default_factory=dict)
    broken_image: bool = False
    pods_start: bool = True
    pod_lost: bool = False
    degraded: bool = False
    journal_depth: int = 0
    unreadable: int = 0
    autoscalers: list[dict[str, Any]] = field(default_factory=list)
    other_users: list[dict[str, Any]] = field(default_factory=list)
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    conflict: bool = False
    blind: bool = False
    # what happened
    series: Scraped = field(default_factory=Scraped)
    environments: list[dict[str, str]] = field(default_factory=list)
    configs: dict[str, dict[str, str]] = field(default_factory=dict)
    created_jobs: list[str] = field(default_factory=list)
    finished_verbs: list[str] = field(default_factory=list)
    refused_starts: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    counters: dict[str, Counters] = field(default_factory=dict)
    serial: int = 0

    # ---- time
    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            step = min(5.0, end - self.now)
            self.now += step
            self._pods()
            self._jobs(step)
            self._traffic(step)

    def _pods(self) -> None:
        self.pods = [
            p for p in self.pods if not (p.get("_ends") and self.now >= p["_ends"] and not self.pod_lost)
        ]
        if self.deployment is None:
            return
        template = self.deployment["spec"]["template"]
        version = self.deployment["metadata"]["generation"]
        current = [p for p in self.pods if not p.get("_ends")]
        for pod in current:
            if pod["_generation"] != version:
                pod["_ends"] = self.now + 5
                pod["metadata"]["deletionTimestamp"] = text(self.now)
        if not self.pods and self.deployment["spec"]["replicas"]:
            self._start_pod(template, version)
        updated = [p for p in self.pods if p["_generation"] == version and not p.get("_ends")]
        for pod in updated:
            if pod["_refused"] or not self.pods_start or self.now < pod["_starts"]:
                continue
            _be_ready(pod)
        self.deployment["status"] = {"observedGeneration": version, "updatedReplicas": len(updated)}

    def _start_pod(self, template: dict[str, Any], version: int) -> None:
        self.serial += 1
        mode = mode_of(env_of(template))
        refused = self.marker in ALLOWED and mode not in ALLOWED[self.marker]
        refused = refused or (self.marker == "DualWrite" and mode[0] != "fs")
        if refused:
            self.refused_starts.append((self.marker, mode))
        self.pods.append(
            {
                "metadata": {
                    "name": f"rustfs-6d5f8-{self.serial:05d}",
                    "uid": f"pod-{self.serial}",
                    "creationTimestamp": text(self.now),
                },
                "spec": copy.deepcopy(template["spec"]),
                "status": {
                    "phase": "Running",
                    "podIP": f"10.0.0.{self.serial % 250}",
                    "conditions": [{"type": "Ready", "status": "False"}],
                    "containerStatuses": [
                        {
                            "name": "rustfs",
                            "restartCount": 0,
                            "state": {"running": {"startedAt": text(self.now)}},
                        }
                    ],
                },
                "_generation": version,
                "_starts": self.now + 5,
                "_refused": refused,
                "_boot": f"boot-{self.serial}",
            }
        )

    def _jobs(self, step: float) -> None:
        for job in self.jobs.values():
            status = job["status"]
            if job["spec"]["suspend"]:
                status["active"] = 0
                continue
            if status.get("conditions") or self.broken_image:
                status.setdefault("active", 1)
                continue
            status["active"] = 1
            job["_done"] += step
            if job["_done"] >= self.job_seconds:
                self._end_job(job)

    def _end_job(self, job: dict[str, Any]) -> None:
        args = job["spec"]["template"]["spec"]["containers"][0]["args"]
        name = job["metadata"]["labels"][names.LABEL_STEP]
        status = job["status"]
        status["active"] = 0
        failed = self.failing_steps.get(name, 0) > 0
        if failed:
            self.failing_steps[name] -= 1
            status["conditions"] = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
        else:
            status["conditions"] = [
                {"type": "Complete", "status": "True", "lastTransitionTime": text(self.now)}
            ]
            self.finished_verbs.append(verb_of(args))
            if args[1] == "mark":
                self.marker = args[args.index("--state") + 1]
            if verb_of(args) == "cleanup purge":
                self.marker = "Purged"
        job["_result"] = {
            "verb": verb_of(args),
            "runID": args[args.index("--run-id") + 1],
            "fence": int(args[args.index("--fence") + 1]),
            "ok": not failed,
            "exitCode": 51 if failed else 0,
            "message": "a row differs" if failed else "done",
            "counts": {
                "objects": 1000,
                "versions": 1100,
                "unreadable": self.unreadable,
                "quarantined": 0,
                "unwaived": 0,
                "rows": 1100,
                "inodes": 2500,
            },
            "digest": "xxh3:00aa",
            "reportDigest": "blake3:11bb",
            **({"root": "blake2b:" + 64 * "a"} if args[1] == "report" else {}),
            "drive": {
                "deploymentID": "dep-1",
                "driveID": "drive-1",
                "storeUUID": "store-1",
                "marker": self.marker,
            },
            **({"sample": self._sampled(args)} if "--sample-ppm" in args else {}),
            "inodesUsed": 5000,
            "unreadable": [],
        }

    def _sampled(self, args: list[str]) -> dict[str, Any]:
        number = int(args[args.index("--round") + 1])
        return {"seed": "s", "round": number, "rounds": 100, "n": 10, "differences": 0, "atMostPpm": 258_866}

    def _traffic(self, step: float) -> None:
        for pod in self.pods:
            if pod.get("_ends") or not is_ready(pod):
                continue
            self._count(pod, step)
        if int((self.now - START) // SCRAPE) != int((self.now - step - START) // SCRAPE):
            self._scrape()

    def _count(self, pod: dict[str, Any], step: float) -> None:
        engine, ratio, _ = mode_of(env_of({"spec": pod["spec"]}))
        share = float(ratio)
        track = "kv" if engine != "fs" else "dual"
        counters = self.counters.setdefault(pod["metadata"]["name"], Counters())

        def add(name: str, amount: float, **labels: str) -> None:
            key = (name, tuple(sorted(labels.items())))
            counters[key] = counters.get(key, 0.0) + amount

        requests = self.requests_per_second * step
        for operation in _OPERATIONS:
            for each in ("fs", "dual", "kv"):
                part = (
                    {track: share, "fs": 1 - share}.get(each, 0.0) if track != "fs" else float(each == "fs")
                )
                part = share if each == track else (1 - share if each == "fs" else 0.0)
                count = requests * part
                bad = self.errors_per_second * step if each == track and operation == "get_object" else 0.0
                add(f"rustfs_{operation}_total", count, track=each)
                add(f"rustfs_{operation}_errors_total", bad, track=each)
                latency = f"rustfs_{operation}_latency_ms"
                add(f"{latency}_count", count, track=each)
                add(f"{latency}_bucket", count * (1 - self.slow_share), track=each, le="100.0")
                add(f"{latency}_bucket", count, track=each, le="+Inf")
        add("rustfs_consistency_checks_total", requests * share)
        add("rustfs_consistency_errors_total", self.divergences)
        self.divergences = 0

    def _scrape(self) -> None:
        if not self.scraping:
            return
        for pod in self.pods:
            if pod.get("_ends") or not is_ready(pod):
                continue
            where = {"namespace": "storage", "pod": pod["metadata"]["name"], "job": "rustfs", "instance": "a"}
            for (name, labels), value in self.counters.get(pod["metadata"]["name"], {}).items():
                self._sample({"__name__": name, **dict(labels), **where}, float(round(value)))
            env = env_of({"spec": pod["spec"]})
            engine, ratio, fallback = mode_of(env)
            info = {"engine": engine, "ratio": ratio, "fallback": fallback, "boot_id": pod["_boot"]}
            info |= {"epoch": env.get(names.ENV_EPOCH, "0"), "migration_uid": "mig-1"}
            self._sample({"__name__": "rustfs_dual_track_info", **info, **where}, 1.0)

    def _sample(self, labels: dict[str, str], value: float) -> None:
        self.series.setdefault(frozenset(labels.items()), []).append((self.now, value))

    # ---- what the operator sees
    def observe(self) -> Observation:
        now = datetime.fromtimestamp(self.now, UTC)
        migration = self.migration
        wanted = queries(migration, now)
        deployment = self.deployment
        blind = self.blind
        return Observation(
            now=now,
            migration=migration,
            installation=Installation("registry/dualtrack:1", "IfNotPresent", "dualtrack-jobs", "0.1.0"),
            lease=self.lease,
            lease_holder_exists=self.holder_exists,
            target=None if blind else deployment,
            pods=None if blind or deployment is None else tuple(public(p) for p in self.pods),
            acknowledgements=() if blind else tuple(self._acknowledge(p) for p in self.pods),
            jobs=None if blind else tuple(self._view(j) for j in self.jobs.values()),
            claims=None
            if blind
            else tuple(
                {"metadata": {"name": n}, "spec": {"accessModes": list(self.access_modes)}}
                for n in ("rustfs-data", "snapshot")
            ),
            claim_users=None if blind else tuple([public(p) for p in self.pods] + self.other_users),
            autoscalers=None if blind else tuple(self.autoscalers),
            results={q.id: self.answer(q) for q in wanted},
            failures=("target: the API server does not answer",) if blind else (),
        )

    def _acknowledge(self, pod: dict[str, Any]) -> Acknowledgement:
        address = pod["status"]["podIP"]
        if not is_ready(pod):
            return Acknowledgement(pod["metadata"]["name"], address, None, "connection refused")
        env = env_of({"spec": pod["spec"]})
        engine, ratio, fallback = mode_of(env)
        drive = {"path": "/data", "driveID": "drive-1", "storeUUID": "store-1", "epochBroken": False}
        body = {
            "migrationUID": "mig-1",
            "epoch": int(env.get(names.ENV_EPOCH, "0")),
            "engine": engine,
            "ratio": ratio,
            "fallback": fallback,
            "bootID": pod["_boot"],
            "ready": True,
            "degraded": self.degraded,
            "drives": [{**drive, "marker": self.marker, "journalDepth": self.journal_depth}],
        }
        return Acknowledgement(pod["metadata"]["name"], address, body)

    def _view(self, job: dict[str, Any]) -> JobView:
        pods: tuple[dict[str, Any], ...] = ()
        if self.broken_image and not job["status"].get("conditions"):
            waiting = {"reason": "ImagePullBackOff", "message": "not found"}
            status = {"containerStatuses": [{"image": "registry/dualtrack:1", "state": {"waiting": waiting}}]}
            pods = ({"metadata": {"name": job["metadata"]["name"] + "-x"}, "status": status},)
        progress = {"event": "progress", "scanned": int(job["_done"] * 10), "total": 1000}
        return JobView(public(job), pods, progress, job.get("_result"))

    def answer(self, query: Query) -> QueryResult:
        if not self.prometheus_up:
            return QueryFailure("Unreachable", "connection refused")
        name, matchers, seconds = parse_selector(query.expression)
        found = []
        for key, points in self.series.items():
            labels = dict(key)
            if name and labels["__name__"] != name:
                continue
            if not all(m(labels) for m in matchers):
                continue
            inside = tuple(p for p in points if query.at - seconds < p[0] <= query.at)
            if inside:
                found.append(Series(labels, inside))
        return Matrix(tuple(found))

    # ---- what the operator does
    def execute(self, decision: Decision) -> None:
        for action in decision.actions:
            match action:
                case Apply():
                    self._apply(action)
                case Create():
                    self._create(dict(copy.deepcopy(action.manifest)))
                case MergePatch(kind="Job"):
                    job = self.jobs[action.name]
                    assert job["metadata"]["uid"] == action.uid
                    job["spec"]["suspend"] = action.patch["spec"]["suspend"]
                case MergePatch(kind="Lease"):
                    assert self.lease is not None
                    self.lease["spec"].update(action.patch["spec"])
                case Delete(kind="Lease"):
                    self.lease = None
                case Event():
                    self.events.append(action)
                case _:
                    raise AssertionError(f"an action that nothing outside knows: {action}")

    def _apply(self, action: Apply) -> None:
        if self.conflict:
            raise ConnectionError("conflict with another field manager")
        if action.manifest["kind"] == "ConfigMap":
            self.configs[action.manifest["metadata"]["name"]] = dict(action.manifest["data"])
            return
        assert self.deployment is not None
        assert action.manifest["metadata"]["uid"] == self.deployment["metadata"]["uid"]
        (container,) = action.manifest["spec"]["template"]["spec"]["containers"]
        assert container["name"] == "rustfs"
        wanted = {e["name"]: e["value"] for e in container["env"]}
        assert tuple(wanted)[:4] == names.MODE_ENV
        assert set(wanted) <= set(names.TARGET_ENV)
        # What server-side apply does with fields that its manager no longer wants.
        self.set_env(wanted, without=set(self.environments[-1]) - set(wanted) if self.environments else ())
        self.environments.append(wanted)

    def set_env(self, wanted: Mapping[str, str], *, only: bool = False, without: Iterable[str] = ()) -> None:
        """Change variables of the template; `only` takes all of ours away first (another manager's way)."""
        assert self.deployment is not None
        env = self.deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        before = copy.deepcopy(env)
        names_ = names.TARGET_ENV if only else (*wanted, *without)
        env[:] = [e for e in env if e["name"] not in names_]
        env.extend({"name": k, "value": v} for k, v in wanted.items())
        if sorted(map(str, env)) != sorted(map(str, before)):
            self.deployment["metadata"]["generation"] += 1

    def _create(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "Lease":
            if self.lease is None:
                self.lease = {**manifest, "metadata": {**manifest["metadata"], "uid": "lease-1"}}
            return
        assert manifest["kind"] == "Job"
        if name in self.jobs:
            return
        self.serial += 1
        manifest["metadata"]["uid"] = f"job-{self.serial}"
        self.jobs[name] = {**manifest, "status": {}, "_done": 0.0}
        self.created_jobs.append(name)


def deployment(env: Mapping[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """One server on one drive, non-root, Recreate."""
    listed = [{"name": "RUSTFS_VOLUMES", "value": "/data"}]
    listed += [{"name": k, "value": v} for k, v in (env or {}).items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rustfs", "namespace": "storage", "uid": "dep-uid", "generation": 1},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": "rustfs"}},
            "template": {
                "metadata": {"labels": {"app": "rustfs"}},
                "spec": {
                    "securityContext": {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
                    "containers": [
                        {
                            "name": "rustfs",
                            "image": "rustfs:1",
                            "env": listed,
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        }
                    ],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "rustfs-data"}}],
                },
            },
            **changes,
        },
    }


def world(**changes: Any) -> World:
    """A running server with some minutes of metrics behind it, and a new migration."""
    made = World(deployment=deployment())
    made.migration = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": "main",
            "namespace": "storage",
            "uid": "mig-1",
            "generation": 1,
            "annotations": {},
        },
        "spec": spec(**changes),
    }
    made.advance(120)
    return made


class Operator:
    """The loop around `decide`, with the promises that hold in every pass checked in every pass."""

    def __init__(self, outside: World) -> None:
        self.world = outside
        self.places: list[str] = []
        self.writes = 0
        self.crash_before_status = False
        self.last: Decision | None = None
        self._observed = 0

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.world.migration.get("status") or {})

    @property
    def place(self) -> str:
        return f"{self.status.get('phase')}/{self.status.get('step')}"

    def step(self) -> Decision:
        seen = self.world.observe()
        decision = decide(seen)
        if self.writes % 3 == 0:
            assert decide(seen) == decision, "the same observation must give the same decision"
        self._promises(decision)
        self.last = decision
        try:
            self.world.execute(decision)
        except ConnectionError:
            return decision  # a failed action ends the pass; the status is not written
        if self.crash_before_status:
            self.crash_before_status = False
            return decision
        self._write(decision)
        return decision

    def _write(self, decision: Decision) -> None:
        text_ = json.dumps(decision.status)
        stored = MigrationStatus.model_validate(json.loads(text_))
        after = stored.model_dump(by_alias=True, exclude_none=True, mode="json")
        assert after == json.loads(text_), "the API server would prune a part of the status"
        if after != self.world.migration.get("status"):
            self.writes += 1
        self.world.migration["status"] = after
        if not self.places or self.places[-1] != self.place:
            self.places.append(self.place)

    def _promises(self, decision: Decision) -> None:
        assert len(json.dumps(decision.status)) <= 64 * 1024
        assert decision.delay_seconds >= 0

    def run(self, until: str, *, limit: int = 4000) -> None:
        """Go on until the place begins with `until`; fails when that takes too long."""
        for _ in range(limit):
            decision = self.step()
            if self.place.startswith(until):
                return
            self.world.advance(max(1.0, min(decision.delay_seconds, 10.0)))
        raise AssertionError(f"{until} was not reached: {self.place}: {self.status.get('message')}")

    def pass_time(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end:
            decision = self.step()
            self.world.advance(max(1.0, min(decision.delay_seconds, 10.0, end - self.world.now + 1)))

    def annotate(self, name: str, value: str) -> None:
        self.world.migration["metadata"]["annotations"][name] = value

    def approve(self, by: str = "ann") -> None:
        pending = self.status["pendingApproval"]
        self.annotate(names.ANNOTATION_APPROVE, f"{pending['step']}.{pending['attempt']}.{pending['id']}")
        self.annotate(names.ANNOTATION_APPROVED_BY, by)

    def command(self, text_: str) -> None:
        self.annotate(names.ANNOTATION_COMMAND, text_)

    def condition(self, kind: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == kind)

    def complete(self) -> None:
        """The whole way, approving what is asked."""
        self.run("Completing/ApproveCutOver")
        self.step()
        self.approve()
        self.run("Completing/ApprovePurge")
        self.step()
        self.approve()
        self.run("Complete/")


def env_of(template: Mapping[str, Any]) -> dict[str, str]:
    env = template["spec"]["containers"][0]["env"]
    return {e["name"]: e["value"] for e in env if e["name"] in names.TARGET_ENV}


def mode_of(env: Mapping[str, str]) -> tuple[str, str, str]:
    return (
        env.get(names.ENV_ENGINE, "fs"),
        env.get(names.ENV_RATIO, "0"),
        env.get(names.ENV_FALLBACK, "true"),
    )


def verb_of(args: list[str]) -> str:
    end = args.index("--drive")
    return " ".join(args[1:end])


def is_ready(pod: Mapping[str, Any]) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


def _be_ready(pod: dict[str, Any]) -> None:
    pod["status"]["conditions"][0]["status"] = "True"


def public(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in obj.items() if not k.startswith("_")}


_SELECTOR = re.compile(r"^(?P<name>[a-zA-Z_:]*)\{(?P<matchers>.*)\}\[(?P<seconds>\d+)s\]$")
_MATCHER = re.compile(r'(\w+)(=~|=)"((?:[^"\\]|\\.)*)"(?:,|$)')


def parse_selector(expression: str) -> tuple[str, list[Any], int]:
    """A range selector as Prometheus reads it: anchored regular expressions, escapes in strings."""
    found = _SELECTOR.match(expression)
    assert found is not None, f"no range selector: {expression}"
    rest = _MATCHER.sub("", found["matchers"])
    assert not rest, f"not understood: {rest}"
    matchers = []
    for label, operator, raw in _MATCHER.findall(found["matchers"]):
        value = raw.replace("\\\\", "\\")
        if operator == "=":
            matchers.append(lambda labels, k=label, v=value: labels.get(k, "") == v)
        else:
            pattern = re.compile(value)
            matchers.append(lambda labels, k=label, p=pattern: p.fullmatch(labels.get(k, "")) is not None)
    return found["name"], matchers, int(found["seconds"])
