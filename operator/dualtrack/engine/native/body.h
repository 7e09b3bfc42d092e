/* The body of one version as both servers write it today, understood as `formats/typed.py` and `bodies.py`
 * understand it, and `attributes.py` what its metadata say; encryption and compression are left to them. */
#ifndef DUALTRACK_BODY_H
#define DUALTRACK_BODY_H

#include "msgpack.h"

enum { OBJECT = 1, DELETE = 2 };

typedef struct {
    uint32_t seen; /* a bit for each field met; a second time is not understood */
    int has_data_dir;
    uint8_t data_dir[16];
    int64_t size;
    int64_t parts, part_sizes, actual_sizes;
    span etag, storage_class;
    cursor user; /* stands at the map of MetaUsr, which was found sound; nowhere if there is none */
    int inline_marker;
} body;

/* 1 if the body is a map of the kind that its header announces, and understood. */
int dt_read_body(span raw, int kind, body *b);

int dt_equal(span s, const char *text);

#endif
