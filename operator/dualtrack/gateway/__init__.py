"""The gateway: an S3 server on one drive that honours the dual-track switch, the reference data plane.

`server` starts it, `app` takes a request from the socket to its handler, `router` names its operation, `auth`
says whose it is; the handlers are a file an operation group. Below them is `engine/objects/`, nothing else.
"""
