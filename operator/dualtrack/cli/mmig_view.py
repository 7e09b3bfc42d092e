"""How one MetadataMigration looks to a person: a pure function from the object to something rich can print.

It reads only what the API server holds, so what is shown is what any other tool could see, and the same
picture serves a single look, the live watch and the demo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

VERDICT_STYLE = {
    "Pass": "green",
    "Fail": "bold red",
    "Error": "red",
    "NoData": "yellow",
    "Insufficient": "cyan",
    "Cancelled": "dim",
}
JOB_STYLE = {"Complete": "green", "Failed": "bold red", "Running": "cyan", "Pending": "yellow"}


def duration(seconds: float) -> str:
    """`31h`, `4m 10s`, `12s`: two units at the most, nothing that a reader has to convert."""
    total = int(max(0, seconds))
    days, hours, minutes, rest = total // 86400, total // 3600 % 24, total // 60 % 60, total % 60
    parts = [f"{n}{u}" for n, u in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return " ".join(parts[:2]) or "0s"


def age(moment: str | None, now: datetime) -> str:
    if not moment:
        return ""
    return duration((now - datetime.fromisoformat(moment)).total_seconds())


def count(number: object) -> str:
    return f"{number:,}" if isinstance(number, int) else "" if number is None else str(number)


def phase_names(spec: Mapping[str, Any]) -> list[str]:
    traffic = [phase["name"] for phase in spec.get("phases", [])]
    return ["Pending", "Validating", *traffic, "Completing", "Complete"]


def phase_line(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Text:
    """Every phase in order: done, here, to come. A state beside the phases is shown after them."""
    names, current = phase_names(spec), status.get("phase", "Pending")
    where = names.index(current) if current in names else -1
    line = Text()
    for index, name in enumerate(names):
        if current == "Complete" or index < where:
            line.append(f" ✔ {name} ", style="green")
        elif index == where:
            line.append(f" ● {name} ", style="bold reverse cyan")
        else:
            line.append(f" ○ {name} ", style="dim")
    if where < 0:
        line.append(f"  {current} ", style="bold yellow")
    return line


def header(name: str, migration: Mapping[str, Any], now: datetime) -> Table:
    spec, status = migration.get("spec", {}), migration.get("status", {})
    desired = status.get("target", {}).get("desired", {})
    pods = status.get("target", {}).get("pods", {})
    grid = Table.grid(padding=(0, 2))
    grid.add_row("migration", Text(name, style="bold"), "attempt", str(status.get("attempt", "-")))
    grid.add_row(
        "step",
        Text(step(status), style="bold"),
        "for",
        age(status.get("stepStartTime"), now),
    )
    grid.add_row(
        "data plane",
        f"{desired.get('engine', 'fs')}, ratio {desired.get('ratioPercent', 0)} %, "
        f"fallback {desired.get('fallback', 'true')}, epoch {desired.get('epoch', status.get('epoch', 0))}",
        "pods",
        f"{pods.get('current', 0)} current, {pods.get('acknowledged', 0)} acknowledged, "
        f"{pods.get('terminating', 0)} terminating",
    )
    grid.add_row(
        "target", f"{spec.get('target', {}).get('kind', '')}/{spec.get('target', {}).get('name', '')}", "", ""
    )
    return grid


def step(status: Mapping[str, Any]) -> str:
    stage = (status.get("switch") or {}).get("stage")
    return f"{status.get('step', '-')}" + (f" ({stage})" if stage else "")


def observation(status: Mapping[str, Any]) -> RenderableType:
    seen = status.get("observation") or {}
    required = seen.get("requiredSeconds") or 0
    if not required:
        return Text("")
    observed = min(seen.get("observedSeconds", 0), required)
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        "observed",
        ProgressBar(total=required, completed=observed, width=32),
        f"{duration(observed)} of {duration(required)}",
        Text(f"coverage {seen.get('coveragePercent', 0)} %", style="dim"),
        Text(f"verdict {seen.get('verdict', '-')}", style=VERDICT_STYLE.get(seen.get("verdict", ""), "")),
    )
    lost = seen.get("lostSeconds")
    if not lost:
        return grid
    why = f": {seen['message']}" if seen.get("message") else ""
    return Group(grid, Text(f"{duration(lost)} did not count{why}", style="yellow"))


def gates(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not rows:
        return Text("")
    table = Table("gate", "verdict", box=None, pad_edge=False, header_style="dim")
    for title in ("value", "upper bound", "bound", "bad", "samples", "still needed"):
        table.add_column(title, justify="right")
    for gate in rows:
        verdict = gate.get("verdict", "-")
        table.add_row(
            gate.get("name", ""),
            Text(verdict, style=VERDICT_STYLE.get(verdict, "")),
            str(gate.get("value", "")),
            str(gate.get("upperBound", "")),
            str(gate.get("bound", "")),
            count(gate.get("bad")),
            count(gate.get("samples")),
            count(gate.get("samplesNeeded")),
        )
    return table


def jobs(rows: Sequence[Mapping[str, Any]], limit: int = 6) -> RenderableType:
    if not rows:
        return Text("")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("job", "state"):  # the step is in the name
        table.add_column(title, no_wrap=True)  # whoever reads a name wants to type it
    table.add_column("progress", justify="right", no_wrap=True)
    table.add_column("")
    for job in rows[-limit:]:
        state = job.get("state", "-")
        scanned, total = job.get("scanned"), job.get("total")
        ended = state == "Complete" or not total
        # Of a Job that counts nothing, the message says what it did.
        progress = count(scanned or None) if ended else f"{count(scanned)} of {count(total)}"
        table.add_row(
            job.get("name", ""),
            Text(state, style=JOB_STYLE.get(state, "")),
            progress,
            Text(job.get("message") or "", style="dim", overflow="ellipsis", no_wrap=True),
        )
    return table


def approval(name: str, namespace: str, status: Mapping[str, Any]) -> RenderableType:
    pending = status.get("pendingApproval")
    if not pending:
        return Text("")
    text = Text()
    text.append(f"{pending.get('step')} waits for approval: ", style="bold yellow")
    text.append(f"{pending.get('shown', '')}\n")
    text.append(f"kubectl mmig approve {name} -n {namespace} --step {pending.get('step')}", style="bold")
    return Panel(text, border_style="yellow", expand=False)


def attention(status: Mapping[str, Any]) -> RenderableType:
    """Conditions that ask for somebody's eye; the rest of the conditions are in `kubectl describe`."""
    loud = {"Stalled", "Paused", "TargetDrifted", "PointOfNoReturn"}
    lines = [
        Text(f"{c['type']}: {c.get('reason', '')}: {c.get('message', '')}", style="yellow")
        for c in status.get("conditions", [])
        if c.get("type") in loud and c.get("status") == "True"
    ]
    return Group(*lines) if lines else Text("")


def report(migration: Mapping[str, Any]) -> str:
    """The root of the report, and what to type to have it proven or refuted; plain, to be copied."""
    made = migration.get("status", {}).get("report")
    if not made:
        return ""
    return f"report of {count(made.get('objects'))} objects: {made.get('root')}\n{made.get('check')}\n"


def render(migration: Mapping[str, Any], now: datetime | None = None) -> RenderableType:
    """The whole picture of one MetadataMigration (a JSON mapping as the API server returns it)."""
    now = now or datetime.now(UTC)
    metadata, status = migration.get("metadata", {}), migration.get("status", {})
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "default")
    parts: list[RenderableType] = [
        phase_line(migration.get("spec", {}), status),
        Text(""),
        header(f"{namespace}/{name}", migration, now),
        Text(""),
        Text(status.get("message", "waiting for the operator to take this migration up"), style="bold"),
    ]
    extras = [
        observation(status),
        gates(status.get("gates", [])),
        jobs(status.get("jobs", [])),
        attention(status),
        approval(name, namespace, status),
    ]
    for extra in extras:
        if not (isinstance(extra, Text) and not extra.plain):
            parts += [Text(""), extra]
    return Group(*parts)


def history(migration: Mapping[str, Any]) -> RenderableType:
    """Who moved it, when, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("time", "attempt", "transition", "cause", "actor"):
        table.add_column(title, no_wrap=True)
    table.add_column("why")
    for entry in migration.get("status", {}).get("history", []):
        evidence = entry.get("evidenceDigest")
        table.add_row(
            entry.get("time", ""),
            str(entry.get("attempt", "")),
            f"{entry.get('from') or 'new'} → {entry.get('to', '')}",
            entry.get("cause", ""),
            entry.get("actor", ""),
            Text(entry.get("message") or (f"evidence {evidence}" if evidence else ""), style="dim"),
        )
    return table


def explain(migration: Mapping[str, Any]) -> RenderableType:
    """What each gate has seen, in sentences."""
    status = migration.get("status", {})
    lines = [Text(status.get("message", ""), style="bold"), Text("")]
    for gate in status.get("gates", []):
        verdict = gate.get("verdict", "NoData")
        line = Text(f"{gate['name']}: ")
        line.append(verdict, style=VERDICT_STYLE.get(verdict, ""))
        line.append(f": {count(gate.get('bad', 0))} bad of {count(gate.get('samples', 0))}")
        if gate.get("upperBound"):
            line.append(f", so that the rate lies at or under {gate['upperBound']}")
        line.append(f" (the limit is {gate.get('bound', '?')})")
        if gate.get("samplesNeeded"):
            line.append(f"; {count(gate['samplesNeeded'])} more good samples would show enough")
        if gate.get("message"):
            line.append(f". {gate['message']}")
        lines.append(line)
    if sample := status.get("sample"):
        lines.append(Text(sampled(sample)))
    return Group(*lines)


def sampled(sample: Mapping[str, Any]) -> str:
    """The last sampled check: how much it looked at, what that shows, and when everything will be seen."""
    rounds = sample.get("rounds")
    turn = f"round {(sample.get('round', 0) % rounds) + 1} of {rounds}" if rounds else "one round"
    return (
        f"sampled check: {count(sample.get('objects', 0))} objects equal, so that at most "
        f"{count(sample.get('atMostPpm'))} in a million differ ({turn}, {sample.get('time', '?')})"
    )
