"""What the probes and Prometheus get to hear."""

from __future__ import annotations

import aiohttp

from dualtrack.controller.health import Heartbeats, Readiness, serve
from dualtrack.controller.metrics import OperatorMetrics

CONDITION = "dualtrack_migration_condition"
OF_M = 'name="m",namespace="storage"'
STATUS = {
    "phase": "Canary",
    "step": "Observing",
    "attempt": 2,
    "target": {"desired": {"ratioPercent": 5}},
    "observation": {"observedSeconds": 111600, "requiredSeconds": 172800},
    "jobs": [
        {"name": "b", "step": "Sweep", "state": "Running", "generation": 2, "scanned": 700, "total": 2000},
        {"name": "a", "step": "Sweep", "state": "Failed", "generation": 1, "scanned": 300},
        {"name": "c", "step": "Inventory", "state": "Complete", "generation": 1, "scanned": 2000},
    ],
    "gates": [{"name": "error-rate", "verdict": "Pass", "value": "0.0000073", "upperBound": "0.0000188"}],
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Observing"},
        {"type": "Paused", "status": "False", "reason": "NotNeeded"},
        {"type": "Succeeded", "status": "Unknown", "reason": "InProgress"},
    ],
}


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def test_it_is_ready_between_start_and_end_while_its_loops_live() -> None:
    now = [0.0]
    readiness, hearts = Readiness(), Heartbeats(lambda: now[0])
    async with serve(OperatorMetrics(), readiness, hearts, "127.0.0.1", 0) as port:
        assert (await get(port, "/readyz"))[0] == 503
        readiness.ready = True
        hearts.beat(("storage", "m"), 1.0)
        assert (await get(port, "/readyz"))[0] == 200
        now[0] = 1000.0
        assert await get(port, "/readyz") == (503, "overdue: storage/m\n")


async def test_metrics_tell_the_newest_status_and_nothing_of_what_is_gone() -> None:
    metrics = OperatorMetrics()
    metrics.publish("storage", "m", {"phase": "Pending"})
    metrics.publish("storage", "m", STATUS)
    metrics.passes.labels("storage", "m", "ok").inc()
    async with serve(metrics, Readiness(), Heartbeats(), "127.0.0.1", 0) as port:
        lines = (await get(port, "/metrics"))[1].splitlines()
        for line in (
            'dualtrack_migration_info{name="m",namespace="storage",phase="Canary",step="Observing"} 1.0',
            'dualtrack_migration_ratio_percent{name="m",namespace="storage"} 5.0',
            'dualtrack_migration_observed_seconds{name="m",namespace="storage"} 111600.0',
            f'dualtrack_job_scanned{{{OF_M},state="Running",step="Sweep"}} 700.0',
            f'dualtrack_job_expected{{{OF_M},state="Running",step="Sweep"}} 2000.0',
            f'dualtrack_job_scanned{{{OF_M},state="Complete",step="Inventory"}} 2000.0',
            'dualtrack_gate_upper_bound{gate="error-rate",name="m",namespace="storage"} 1.88e-05',
            f'{CONDITION}{{{OF_M},reason="NotNeeded",type="Paused"}} 0.0',
            f'{CONDITION}{{{OF_M},reason="InProgress",type="Succeeded"}} -1.0',
            'dualtrack_reconcile_passes_total{name="m",namespace="storage",result="ok"} 1.0',
        ):
            assert line in lines
        assert not [line for line in lines if "Pending" in line or "Failed" in line]
        metrics.forget("storage", "m")
        assert 'name="m"' not in (await get(port, "/metrics"))[1]
