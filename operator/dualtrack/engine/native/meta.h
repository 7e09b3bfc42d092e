/* The usual `xl.meta`, understood; everything else left to Python.
 *
 * `dt_understand` accepts a strict subset of what `formats/xlmeta.py`, `formats/bodies.py` and `summary.py`
 * accept, and gives the same answer: version 1.3, headers of version 3, bodies as both servers write them,
 * nothing encrypted or compressed. Whatever it is not sure of it refuses, and the caller asks Python, which
 * alone decides what is sound, what is damaged and what it is called. */
#ifndef DUALTRACK_META_H
#define DUALTRACK_META_H

#include "body.h"
#include "row.h"

enum { FREE_FLAG = 1, SUMMARY_ROOM = 640, DATA_DIRS = 16 };

typedef struct {
    uint32_t versions;
    uint32_t summary_size;
    uint8_t summary[SUMMARY_ROOM];
    /* Of all versions, each once. -1: more than are kept, or a body that is not understood. */
    int data_dirs;
    uint8_t data_dir[DATA_DIRS][16];
} understood;

/* A file whose CRC is right: where its versions stand, how many are announced, and its inline section. */
typedef struct {
    cursor versions, inline_section;
    int64_t count;
} opened;

/* One version: its header, decoded, and its body as it lies there. `id` has 16 bytes. */
typedef struct {
    span header, raw_body;
    const uint8_t *id;
    int kind, flags;
    int64_t time;
} version;

/* Each is 1 if what it looks at is sound and of the usual form. */
int dt_open(const uint8_t *data, size_t size, opened *out);
int dt_read_version(cursor *c, version *v);
/* `found`: whether there is an entry for the version, by any of the names that servers have given one: `null`,
 * the version's id, its data directory. */
int dt_read_inline(cursor section, const uint8_t id[16], const body *b, int *found);

/* Whether encryption hides the ETag; Python tells by whom. */
int dt_sealed_etag(const body *b);

/* 1 if understood. `dirs`: also collect the data directories of all versions. */
int dt_understand(const uint8_t *data, size_t size, int dirs, understood *out);

/* The name of a data directory: 36 characters and a NUL. */
void dt_uuid_text(const uint8_t id[16], char text[37]);

#endif
