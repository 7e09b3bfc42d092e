"""The guide's `migration.yaml`: checked to the line, and said again as a MetadataMigration.

`schema` is the one table of what the file may hold, `document` holds a text against it, `mapping` turns the
values into a resource. All of it is pure: no file is opened and nothing is asked of a cluster.
"""
