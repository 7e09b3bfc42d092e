/* The layout of a row and of its index entry, as `stores/envelope.py` and `summary.py` have it. */
#ifndef DUALTRACK_ROW_H
#define DUALTRACK_ROW_H

#define EXPORTED __attribute__((visibility("default")))

/* A row: header, seal, bytes of the file. An index entry: check, summary. */
enum { ENVELOPE_SCHEMA = 1, HEADER = 86, SEAL = 16, CHECK = 8, PRESENT = 1 };

/* A summary, and its flags. `SEALED_ETAG`: encryption hides it; such objects are summarised in Python alone. */
enum { SUMMARY_SCHEMA = 1, MD5 = 1, PARTS = 2, SEALED_ETAG = 4, INLINE = 8, TEXT_ETAG = 16, CLASS = 32 };

#endif
