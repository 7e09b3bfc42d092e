"""A report as a page for people: one file, no script, nothing loaded from anywhere, light and dark.

It shows what the JSON says and computes nothing of its own but sums and bar lengths. All text is escaped:
object names come from users. Of several drives it has a line for each, and what is wrong with it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from dualtrack.engine.proof.deployment import DeploymentReport
from dualtrack.engine.proof.document import Report

SHOWN = 200
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_TONES = {"Equal": "good", "Different": "bad", "Incomplete": "doubt"}
_VERDICTS = {
    "Equal": "Every file that was there was read and is its row, byte for byte.",
    "Different": "Files and rows differ. What differs is named below.",
    "Incomplete": "Not everything could be read, so nothing is proven of the rest.",
}


def page(report: Report | DeploymentReport) -> str:
    """The whole page."""
    if isinstance(report, DeploymentReport):
        return _deployment(report)
    head = report.head
    buckets = sorted(head["buckets"], key=lambda each: -each["objects"])
    listed = _of_clients(buckets)
    body = _template("drive_body.html").substitute(
        root=html.escape(report.root),
        tiles=_tiles(report, listed),
        objects_chart=_bars(listed, "objects", "{:,}".format),
        bytes_chart=_bars(listed, "bytes", human),
        buckets=_bucket_rows(buckets),
        identity=_facts(
            {
                "drive": head["drive"],
                "marker": head["marker"],
                "store": head["store"],
                "made by": head["software"],
            }
        ),
        problems=_problems(head),
        ranges=_range_rows(report),
    )
    return _framed(report, body)


def _deployment(report: DeploymentReport) -> str:
    wrong = [part for part in report.parts if part.verdict != "Equal" or part.head["quarantine"]]
    missing = [_name(each) for each in report.head["missing"]]
    body = _template("deployment_body.html").substitute(
        root=html.escape(report.root),
        drives="".join(map(_drive_row, report.parts)),
        missing=_list("Not in this report", missing),
        problems="".join(
            f'<section class="card"><h2>{html.escape(part.of_drive)}</h2>{_problems(part.head)}</section>'
            for part in wrong
        ),
    )
    return _framed(report, body)


def _drive_row(part: Report) -> str:
    drive = part.head["drive"]
    listed = _of_clients(part.head["buckets"])
    objects, versions, size = (
        sum(each[name] for each in listed) for name in ("objects", "versions", "bytes")
    )
    cells = (f"{objects:,}", f"{versions:,}", human(size), f"{len(part.head['quarantine']):,}")
    return (
        f"<tr><td><code>{html.escape(part.drive_id)}</code></td><td>{drive['setIndex'] + 1}</td>"
        f"<td>{drive['driveIndex'] + 1}</td><td>{html.escape(part.verdict)}</td>"
        + "".join(f'<td class="n">{cell}</td>' for cell in cells)
        + f"<td><code>{html.escape(part.root.removeprefix('blake2b:')[:12])}…</code></td></tr>"
    )


def _framed(report: Report | DeploymentReport, body: str) -> str:
    """What both kinds of page have: head, style, and whose verdict this is."""
    signature = report.signature
    return _template("frame.html").substitute(
        style=_resource("page.css"),
        tone=_TONES.get(report.verdict, "doubt"),
        verdict=html.escape(report.verdict),
        meaning=html.escape(_VERDICTS.get(report.verdict, "")),
        time=html.escape(report.head["time"]),
        root=html.escape(report.root),
        signed=html.escape(
            f"{signature['algorithm']}, key {signature['keyID']}" if signature else "not signed"
        ),
        body=body,
    )


def _template(name: str) -> Template:
    return Template(_resource(name))


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _of_clients(buckets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that are not a server's own."""
    return [each for each in buckets if not _name(each["bucket"]).startswith(".")]


def human(number: int) -> str:
    """Bytes with a unit of 1,024."""
    value = float(number)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{number} B" if unit == "B" else f"{value:,.1f} {unit}"


def _tiles(report: Report, buckets: Sequence[Mapping[str, Any]]) -> str:
    head = report.head
    inodes = sum(each["inodes"] for each in head["inodes"]["buckets"])
    tiles = [
        ("objects", f"{sum(each['objects'] for each in buckets):,}"),
        ("versions", f"{sum(each['versions'] for each in buckets):,}"),
        ("as clients see them", human(sum(each["bytes"] for each in buckets))),
        ("inodes below buckets", f"{inodes:,}"),
        ("ranges", f"{len(report.ranges):,}"),
        ("quarantined", f"{len(head['quarantine']):,}"),
    ]
    return "".join(f"<div><b>{html.escape(value)}</b><span>{name}</span></div>" for name, value in tiles)


def _bars(buckets: Sequence[Mapping[str, Any]], field: str, show: Any) -> str:
    """Horizontal bars of the largest buckets, as SVG."""
    largest = sorted(buckets, key=lambda each: -each[field])[:10]
    most = max((each[field] for each in largest), default=0) or 1
    bars = []
    for number, each in enumerate(largest):
        y, width = number * 28, 300 * each[field] / most
        name = html.escape(_short(_name(each["bucket"]), 22))
        bars.append(
            f'<text class="name" x="152" y="{y + 17}">{name}</text>'
            f'<rect x="160" y="{y + 4}" width="{max(width, 1):.1f}" height="18" rx="3"/>'
            f'<text class="value" x="{166 + max(width, 1):.1f}" y="{y + 17}">{show(each[field])}</text>'
        )
    height = max(28 * len(largest), 28)
    label = f"{field} by bucket"
    return f'<svg viewBox="0 0 560 {height}" role="img" aria-label="{label}">{"".join(bars)}</svg>'


def _bucket_rows(buckets: Sequence[Mapping[str, Any]]) -> str:
    columns = ("objects", "versions", "delete_markers", "free_versions", "bytes", "inline")
    rows = []
    for each in buckets:
        cells = "".join(
            f'<td class="n">{human(each[name]) if name == "bytes" else format(each[name], ",")}</td>'
            for name in columns
        )
        rows.append(f"<tr><td>{html.escape(_name(each['bucket']))}</td>{cells}</tr>")
    return "".join(rows)


def _range_rows(report: Report) -> str:
    rows = [
        f'<tr><td class="n">{number}</td><td>{html.escape(_shown(each.bucket))}</td>'
        f"<td>{html.escape(_short(_shown(each.first), 48))}</td>"
        f"<td>{html.escape(_short(_shown(each.last), 48))}</td>"
        f'<td class="n">{each.objects:,}</td><td><code>{each.digest[:16]}…</code></td></tr>'
        for number, each in enumerate(report.ranges[:SHOWN])
    ]
    if (left := len(report.ranges) - SHOWN) > 0:
        rows.append(f'<tr><td colspan="6">and {left:,} more, in the JSON file</td></tr>')
    return "".join(rows)


def _problems(head: Mapping[str, Any]) -> str:
    parts = [
        _list(
            "Differences",
            [f"{_name(e['bucket'])}/{_name(e['key'])}: {e['what']}" for e in head["differences"]],
        ),
        _list("Could not be read", [_name(each) for each in head["unread"]]),
        _list(
            "Quarantined: in their files, not in the store",
            [
                f"{_name(e['bucket'])}/{_name(e['key'])}: {e['class']}, {e['waiver']}"
                + (f" ({e['reason']})" if e["reason"] else "")
                for e in head["quarantine"]
            ],
        ),
    ]
    return "".join(parts) or '<p class="none">No differences, nothing unread, nothing quarantined.</p>'


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines[:SHOWN])
    more = f"<li>and {len(lines) - SHOWN:,} more, in the JSON file</li>" if len(lines) > SHOWN else ""
    return f"<h3>{title} ({len(lines):,})</h3><ul>{items}{more}</ul>"


def _facts(sections: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for title, facts in sections.items():
        cells = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(_fact(value))}</dd>"
            for name, value in facts.items()
        )
        rows.append(f"<section><h3>{title}</h3><dl>{cells}</dl></section>")
    return "".join(rows)


def _fact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _name(value: object) -> str:
    """A name for eyes. The JSON file has the exact bytes of one that is no UTF-8."""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
