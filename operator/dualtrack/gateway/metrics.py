"""The data plane's metrics (contracts §5), in a registry of their own.

Every series exists at 0 from the start: a gate must be able to tell "nothing happened" from "nobody counts".
`PrometheusMeter` is what the engine counts into and where the server counts its requests. A name that is not
declared here is a programming error and raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

BUCKETS_MS = (
    0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1000, 2000, 5000,
)  # fmt: skip
TRACKS = ("fs", "dual", "kv")
OPERATIONS = ("put_object", "get_object", "delete_object", "list_objects")
INFO_LABELS = ("engine", "ratio", "fallback", "epoch", "migration_uid", "boot_id")

_REQUESTS = {
    "put_object": "writes of an object: PutObject, CopyObject, CompleteMultipartUpload and its tags",
    "get_object": "reads of an object: GetObject, HeadObject and its tags",
    "delete_object": "deletions, each key of a DeleteObjects by itself",
    "list_objects": "listings of objects and of versions",
}
_ENGINE_HISTOGRAMS = {
    "rustfs_kv_write_latency_ms": "Time to write metadata into the key-value store",
    "rustfs_kv_read_latency_ms": "Time to read metadata from the key-value store",
    "rustfs_fs_write_latency_ms": "Time to write an xl.meta file",
    "rustfs_fs_read_latency_ms": "Time to read an xl.meta file",
}
_ENGINE_COUNTERS = {
    "rustfs_consistency_checks_total": "Reads whose metadata were compared between the two tracks",
    "rustfs_consistency_errors_total": "Comparisons that found the two tracks different",
    "rustfs_instant_upload_hits_total": "Objects made of content that was known",
    "rustfs_instant_upload_misses_total": "Contents that were asked for and not known",
    "rustfs_metadata_cache_hits_total": "Rows that the cache had",
    "rustfs_metadata_cache_misses_total": "Rows that were read from the store because the cache had them not",
}
_ENGINE_GAUGES = {
    "rustfs_objects_in_kv": "Objects whose metadata the key-value store holds",
    "rustfs_objects_in_fs": "Objects whose metadata lie in xl.meta files",
    "rustfs_metadata_cache_entries": "Rows in the cache",
    "rustfs_metadata_cache_bytes": "Bytes of the rows in the cache",
    "rustfs_kv_degraded": "1 while the key-value store cannot be used",
    "rustfs_dual_track_store_reader_behind": "Transactions since the store's oldest reader began",
    "rustfs_dual_track_store_readers_cleared": "Readers of the store that died while reading",
    "rustfs_dual_track_row_log": "1 while every commit of the store is logged on another device",
    "rustfs_dual_track_row_log_covers": "1 while the last snapshot and the row log give the store",
    "rustfs_dual_track_row_log_record": "Number of the row log's last record",
    "rustfs_dual_track_late_keys": "Keys whose rows lag behind their files longer than the window",
    "rustfs_dual_track_journal_depth": "Keys written to files whose rows are not yet committed",
}


class PrometheusMeter:
    """Implements the engine's `Meter`; thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[str, MetricWrapperBase] = {}
        for operation, what in _REQUESTS.items():
            self._histogram(f"rustfs_{operation}_latency_ms", f"Milliseconds of {what}", ("track",))
            self._counter(f"rustfs_{operation}_total", f"Number of {what}", ("track",))
            self._counter(f"rustfs_{operation}_errors_total", f"Answers 5xx (not 501) to {what}", ("track",))
        for name, text in _ENGINE_HISTOGRAMS.items():
            self._histogram(name, text, ())
        for name, text in _ENGINE_COUNTERS.items():
            self._counter(name, text, ())
        for name, text in _ENGINE_GAUGES.items():
            self._metrics[name] = Gauge(name, text, registry=self.registry)
        self._info = Gauge(
            "rustfs_dual_track_info", "How this process serves its drive", INFO_LABELS, registry=self.registry
        )
        self._children = {
            (name, track): metric.labels(track=track)
            for name, metric in self._metrics.items()
            for track in TRACKS
            if name.startswith(tuple(f"rustfs_{operation}_" for operation in OPERATIONS))
        }

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._metrics[name] = Histogram(name, text, labels, buckets=BUCKETS_MS, registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> None:
        self._metrics[name] = Counter(name, text, labels, registry=self.registry)

    def _child(self, name: str, labels: Mapping[str, str]) -> MetricWrapperBase:
        return self._children[name, labels["track"]] if labels else self._metrics[name]

    def observe(self, name: str, ms: float, labels: Mapping[str, str]) -> None:
        metric = self._child(name, labels)
        if not isinstance(metric, Histogram):
            raise TypeError(f"{name} is no histogram")
        metric.observe(ms)

    def count(self, name: str, labels: Mapping[str, str], n: int = 1) -> None:
        metric = self._child(name, labels)
        if not isinstance(metric, Counter):
            raise TypeError(f"{name} is no counter")
        metric.inc(n)

    def gauge(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        metric = self._child(name, labels)
        if not isinstance(metric, Gauge):
            raise TypeError(f"{name} is no gauge")
        metric.set(value)

    def info(self, labels: Mapping[str, str]) -> None:
        """Replace the one series of `rustfs_dual_track_info`."""
        self._info.clear()
        self._info.labels(**{name: labels[name] for name in INFO_LABELS}).set(1)

    def request(self, operation: str, track: str, ms: float, status: int) -> None:
        """Count one answered request. 501 is the answer to what nobody can do here, not a failure."""
        labels = {"track": track}
        self.observe(f"rustfs_{operation}_latency_ms", ms, labels)
        self.count(f"rustfs_{operation}_total", labels)
        if status >= 500 and status != 501:
            self.count(f"rustfs_{operation}_errors_total", labels)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
