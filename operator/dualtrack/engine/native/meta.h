/* The usual `xl.meta`, understood; everything else left to Python.
 *
 * `dt_understand` accepts a strict subset of what `formats/xlmeta.py`, `formats/bodies.py` and `summary.py`
 * accept, and gives the same answer: version 1.3, headers of version 3, bodies as both servers write them,
 * nothing encrypted or compressed. Whatever it is not sure of it refuses, and the caller asks Python, which
 * alone decides what is sound, what is damaged and what it is called. */
#ifndef DUALTRACK_META_H
#define DUALTRACK_META_H

#include <stddef.h>
#include <stdint.h>

enum { SUMMARY_SCHEMA = 1, SUMMARY_ROOM = 640, DATA_DIRS = 16 };

typedef struct {
    uint32_t versions;
    uint32_t summary_size;
    uint8_t summary[SUMMARY_ROOM];
    /* Of all versions, each once. -1: more than are kept, or a body that is not understood. */
    int data_dirs;
    uint8_t data_dir[DATA_DIRS][16];
} understood;

/* 1 if understood. `dirs`: also collect the data directories of all versions. */
int dt_understand(const uint8_t *data, size_t size, int dirs, understood *out);

/* The name of a data directory: 36 characters and a NUL. */
void dt_uuid_text(const uint8_t id[16], char text[37]);

#endif
