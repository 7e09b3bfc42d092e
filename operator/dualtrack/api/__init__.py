"""The MetadataMigration: models, rules and the CRD that is generated from them.

`resource` is the whole, `spec` and `status` its halves, `load` the one door by which one comes in.
"""
