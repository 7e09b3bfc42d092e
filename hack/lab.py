#!/usr/bin/env python3
"""The lab's command: `lab.py tools | cluster up | cluster down | image | load | minio …`; see --help."""

from __future__ import annotations

import argparse
import sys

from dtlab import cluster, packages, tools
from dtlab.shell import LabError, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("tools", help="install packages and build every program of the local cluster")
    local = commands.add_parser("cluster", help="the local cluster")
    local.add_argument("action", choices=["up", "down", "status", "kubeconfig"])
    local.add_argument("--name", help="tells clusters of one machine apart")
    local.add_argument("--dir", help="the state folder instead of one in the cache")
    local.add_argument("--control-plane-only", action="store_true", help="an API server without a node")
    return top


def run_cluster(options: argparse.Namespace) -> None:
    local = cluster.Cluster(cluster.state_folder(options.name, options.dir))
    match options.action:
        case "up":
            local.up(with_node=not options.control_plane_only)
            print(local.kubeconfig)
        case "down":
            local.down()
        case "status":
            print(local.status())
        case "kubeconfig":
            print(local.kubeconfig)


def main() -> int:
    options = parser().parse_args()
    try:
        match options.command:
            case "tools":
                packages.install()
                tools.build(tools.ALL)
            case "cluster":
                run_cluster(options)
    except LabError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
