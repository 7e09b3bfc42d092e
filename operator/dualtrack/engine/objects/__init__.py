"""Buckets and objects over one drive: what an S3 server asks of the engine.

The gateway imports `layer.ObjectLayer`, the values of `types` and the conditions of `errors`; everything
else in this package is behind that seam (docs/internals/contracts.md §4).
"""
