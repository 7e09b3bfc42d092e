"""What servers wrote before today's forms, each in a module of its own; read, never written.

| module | form | written by |
|---|---|---|
| `containers` | `xl.meta` 1.0, 1.1, 1.2 | MinIO 2020 and 2021 |
| `v1` | `V1Obj`, the body of an object from before versions | MinIO, when it took over an `xl.json` |
| `xljson` | that object as a JSON document, in an `xl.json` or, renamed, in an `xl.meta` | MinIO until 2020 |
| `rustfs` | bodies by position | RustFS's early releases |

All give the values of `bodies.py`, so nobody but a reader of content has to know of them.
"""
