"""The command lines and configurations of a cluster's components, as plain values.

All paths are those inside the sandbox (`/run/lab` is the state folder). Authorization is RBAC with the
node authorizer, admission is the API server's own default set, so that a rule that holds here holds
on a real cluster.
"""

from __future__ import annotations

import json

from dtlab import init
from dtlab.network import Addresses
from dtlab.paths import tool_bin

LAB = str(init.INSIDE)
PKI = f"{LAB}/pki"
CONFIG = f"{LAB}/config"
NODE = "lab"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
API_PORT = 6443


def tool(name: str) -> str:
    return str(tool_bin() / name)


def etcd() -> list[str]:
    return [
        tool("etcd"),
        f"--data-dir={LAB}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=default=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a lab need not survive a power cut, and shares its disk with load tests
        "--log-level=warn",
    ]


def api_server(addresses: Addresses) -> list[str]:
    return [
        tool("kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={addresses.node}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--service-account-key-file={PKI}/sa.pub",
        f"--service-account-signing-key-file={PKI}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        f"--kubelet-client-certificate={PKI}/admin.crt",
        f"--kubelet-client-key={PKI}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--allow-privileged=true",
        "--endpoint-reconciler-type=lease",
        "--event-ttl=3h",
    ]


def controller_manager() -> list[str]:
    return [
        tool("kube-controller-manager"),
        f"--kubeconfig={CONFIG}/controller-manager.kubeconfig",
        f"--service-account-private-key-file={PKI}/sa.key",
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--use-service-account-credentials=true",
        "--controllers=*",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def scheduler() -> list[str]:
    return [
        tool("kube-scheduler"),
        f"--kubeconfig={CONFIG}/scheduler.kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def containerd() -> list[str]:
    return ["containerd", "--config", f"{CONFIG}/containerd.toml"]


def kubelet(addresses: Addresses) -> list[str]:
    return [
        tool("kubelet"),
        f"--config={CONFIG}/kubelet.yaml",
        f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
        f"--root-dir={LAB}/kubelet",
        f"--hostname-override={NODE}",
        f"--node-ip={addresses.node}",
    ]


def proxy(addresses: Addresses) -> list[str]:
    return [
        tool("kube-proxy"),
        f"--kubeconfig={CONFIG}/kube-proxy.kubeconfig",
        f"--hostname-override={NODE}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={addresses.pods}",
        # These sysctls belong to the machine, not to a network name space; zero leaves them alone.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
        "--oom-score-adj=0",
    ]


def coredns() -> list[str]:
    return [tool("coredns"), "-conf", f"{CONFIG}/Corefile"]


def corefile() -> str:
    return f"""\
cluster.local in-addr.arpa {{
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {CONFIG}/coredns.kubeconfig lab
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""


def containerd_config(snapshotter: str) -> str:
    return f"""\
version = 2
root = "{LAB}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:dev"
  # Without CAP_SYS_RESOURCE nothing may become less killable than its parent is.
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  max_concurrent_downloads = 1
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{CONFIG}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    discard_unpacked_layers = false
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def cni_config(addresses: Addresses) -> str:
    """Every pod has a routed link of its own, so that its traffic to a Service always passes iptables.

    (Over a bridge, the answer of a pod on the same node would go around them.)
    """
    ptp = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni-networks",
            "ranges": [[{"subnet": addresses.pods}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    port_map = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return json.dumps({"cniVersion": "0.4.0", "name": "lab", "plugins": [ptp, port_map]}, indent=1) + "\n"


def kubelet_config(addresses: Addresses, cgroup_root: str) -> str:
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
        "address": addresses.node,
        "healthzBindAddress": "127.0.0.1",
        "clusterDomain": "cluster.local",
        "clusterDNS": [addresses.node],
        "resolvConf": f"{CONFIG}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "podLogsDir": f"{LAB}/pod-logs",
        "registerWithTaints": [],
        "syncFrequency": "10s",
        "fileCheckFrequency": "1m",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": False,
        # Images come by archive and cannot be pulled again, so a full disk must never collect them.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
    }
    return json.dumps(settings, indent=1) + "\n"
