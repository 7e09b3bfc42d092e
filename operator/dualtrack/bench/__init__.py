"""`dualtrack bench`: what a mode of the engine, or an S3 server, costs; side by side with others.

`workloads`, `plan`, `figures`, `report` and `chart` are pure; `engine` and `s3` are the systems that can be
measured, behind the protocols of `system`; `measuring` holds the clock.
"""
