"""The lab: everything that turns a bare machine into a Kubernetes cluster with our image on it.

Nothing here is part of the product. `hack/lab.py` is the only entry; one file a concern:
`packages` (Debian), `tools` (Go), `wheels`, `base_image` and `image` (what runs in pods),
`sandbox`, `network`, `pki`, `components`, `cluster` (the local cluster), `cluster_kind` and `kind`
(which cluster is used), `minio` (a peer for tests).
"""
