"""Stores: rows and their index in a key-value store, whichever it is.

`protocol` is what the engine asks for. `reading` and `writing` do it once for all backends, over the ordered
tables of `transaction`; `decide` says what a batch does to the rows that it finds, `envelope` is the bytes
around a row. `lmdb`, `rocksdb` and `postgresql/` offer the tables, each the one importer of its library;
`opening` is the way in.
"""
