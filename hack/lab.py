#!/usr/bin/env python3
"""The lab's command: tools, cluster, images and peers. `lab.py COMMAND --help` tells more."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from dtlab import cluster, cluster_kind, image, minio, packages, tools
from dtlab.shell import LabError, say


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "tools", help="install the packages and build the programs that the chosen kind of cluster needs"
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", help="tells clusters of one machine apart")
    named.add_argument("--dir", help="the local cluster's state folder, instead of one in the cache")
    one = commands.add_parser(
        "cluster", parents=[named], help="the cluster: existing, kind or local, by $CLUSTER"
    )
    one.add_argument("action", choices=["up", "down", "status", "kubeconfig", "kind"])
    one.add_argument("--control-plane-only", action="store_true", help="a local API server without a node")
    build = commands.add_parser("image", help="build an image and print the path of its docker-archive")
    build.add_argument("which", nargs="?", choices=["dualtrack", "prometheus"], default="dualtrack")
    load = commands.add_parser("load", parents=[named], help="bring docker-archives to the cluster's nodes")
    load.add_argument("archives", nargs="*", type=Path, help="default: dualtrack:dev and prometheus:dev")
    peer = commands.add_parser("minio", help="run a real MinIO on a drive, until it is interrupted")
    peer.add_argument("--drive", action="append", required=True, type=Path)
    peer.add_argument("--port", type=int)
    return top


def run_cluster(options: argparse.Namespace) -> None:
    if options.action == "kind":
        print(cluster_kind.kind_of_cluster())
        return
    if options.control_plane_only:
        local = cluster.Cluster(cluster.state_folder(options.name, options.dir))
        local.up(with_node=False)
        print(local.kubeconfig)
        return
    one = cluster_kind.chosen(options.name, options.dir)
    match options.action:
        case "up":
            one.up()
            print(one.kubeconfig)
        case "down":
            one.down()
        case "status":
            print(one.status())
        case "kubeconfig":
            print(one.kubeconfig)


def run_minio(options: argparse.Namespace) -> None:
    stop = signal.sigwait
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with minio.running(*options.drive, port=options.port) as server:
        print(f"{server.url} {minio.ACCESS_KEY} {minio.SECRET_KEY}", flush=True)
        stop({signal.SIGINT, signal.SIGTERM})


def run(options: argparse.Namespace) -> None:
    match options.command:
        case "tools":
            if cluster_kind.kind_of_cluster() == "local":
                packages.install()
                tools.build(tools.ALL)
            else:
                tools.build((*tools.KUBECTL, *tools.MINIO))
            tools.build_peers()
        case "cluster":
            run_cluster(options)
        case "image":
            print(image.prometheus() if options.which == "prometheus" else image.dualtrack())
        case "load":
            one = cluster_kind.chosen(options.name, options.dir)
            for archive in options.archives or [image.dualtrack(), image.prometheus()]:
                one.load(archive)
        case "minio":
            run_minio(options)


def main() -> int:
    try:
        run(parser().parse_args())
    except LabError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
