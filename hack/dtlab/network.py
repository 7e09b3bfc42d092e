"""The sandbox's only way out: one pair of virtual interfaces, and addresses by slot.

The machine's end is called `dtlabN`; making it is atomic, so the name is the reservation of slot N and
two clusters never share addresses. All addresses come from 198.18.0.0/16, which RFC 2544 sets aside for
benchmarks. The machine routes pods and Services into the sandbox; nothing is routed from there to the
outside, and no iptables rule or sysctl of the machine is touched.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from dtlab.sandbox import Sandbox
from dtlab.shell import LabError, run, succeeds

SLOTS = 32


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a slot: eight networks of 256 addresses each."""

    slot: int

    def _net(self, part: int, host: int) -> str:
        return f"198.18.{self.slot * 8 + part}.{host}"

    @property
    def interface(self) -> str:
        return f"dtlab{self.slot}"

    @property
    def all(self) -> str:
        return self._net(0, 0) + "/21"

    @property
    def machine(self) -> str:
        """Under which pods reach the machine."""
        return self._net(0, 1)

    @property
    def node(self) -> str:
        """The node's address: API server, cluster DNS and kubelet."""
        return self._net(0, 2)

    @property
    def pods(self) -> str:
        return self._net(1, 0) + "/24"

    @property
    def services(self) -> str:
        return self._net(2, 0) + "/24"

    @property
    def kubernetes_service(self) -> str:
        return self._net(2, 1)


def find(sandbox: Sandbox) -> Addresses | None:
    """The slot of a running sandbox, read from its interface; None before `connect`."""
    links = json.loads(sandbox.run(["ip", "-j", "-4", "address", "show"]))
    for link in links:
        for address in link.get("addr_info", []):
            if link["ifname"] == "eth0":
                return Addresses(int(address["local"].split(".")[2]) // 8)
    return None


def connect(sandbox: Sandbox) -> Addresses:
    """Connect a sandbox to the machine under the first free slot; what is there already is kept."""
    sandbox.run(["ip", "link", "set", "lo", "up"])
    addresses = find(sandbox) or _new_pair(sandbox)
    run(["ip", "address", "replace", f"{addresses.machine}/30", "dev", addresses.interface])
    run(["ip", "link", "set", addresses.interface, "up"])
    sandbox.run(["ip", "link", "set", "eth0", "up"])
    sandbox.run(["ip", "route", "replace", "default", "via", addresses.machine])
    run(["ip", "route", "replace", addresses.all, "via", addresses.node, "dev", addresses.interface])
    sandbox.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    return addresses


def _new_pair(sandbox: Sandbox) -> Addresses:
    pid = sandbox.pid()
    if succeeds(["nsenter", "-t", str(pid), "-n", "ip", "link", "show", "eth0"]):
        sandbox.run(["ip", "link", "delete", "eth0"])  # an `up` was killed before it gave the address
    taken = json.loads(run(["ip", "-j", "-4", "route", "show"]))
    used = {str(route.get("dst", "")) for route in taken}
    for slot in range(SLOTS):
        addresses = Addresses(slot)
        pair = [
            "ip",
            "link",
            "add",
            addresses.interface,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            str(pid),
        ]
        if addresses.all not in used and succeeds(pair):
            sandbox.run(["ip", "address", "add", f"{addresses.node}/30", "dev", "eth0"])
            return addresses
    raise LabError(
        f"no slot of {SLOTS} could be used; see `ip link` for dtlab interfaces, and `ip link add` needs root"
    )


def wait_gone(interface: str) -> None:
    """The kernel removes a pair a moment after its name space is gone; wait for that, then see to it."""
    end = time.monotonic() + 10
    while succeeds(["ip", "link", "show", interface]):
        if time.monotonic() > end:
            run(["ip", "link", "delete", interface])
            return
        time.sleep(0.1)
