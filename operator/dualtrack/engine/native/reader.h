/* What the parts of the native reader share: the reading of one object. */
#ifndef DUALTRACK_READER_H
#define DUALTRACK_READER_H

#include "row.h"

#include <stddef.h>
#include <stdint.h>

#define NO_ROOM SIZE_MAX

enum { ABSENT = 0, SEALED = 1, ASK = 2 };

/* What is the same for all objects of a call. `prefix`: drive id, NUL, bucket, NUL, and the key's beginning
 * down to the directory, with its slash; `full_at` is where the bucket begins in it. At most `threads` read. */
typedef struct {
    const uint8_t *prefix;
    uint32_t prefix_size, full_at;
    uint32_t term;
    uint32_t trust_links;
    uint64_t counter;
    uint32_t threads;
} job;

/* One name's outcome. Offsets count from the start of the arena. */
typedef struct {
    uint32_t state, may_have_children, versions;
    uint32_t full_at, full_size, value_at, value_size, entry_at, entry_size;
} item;

/* Read, understand and seal one object. From `at` on it becomes in the arena
 *     prefix and key, NUL, header, seal, bytes of the file; check and summary of the index entry.
 * Returns where the next one may begin; NO_ROOM if it does not fit before `room`. Of what the caller gives it
 * changes nothing but `no_atime`, the piece of the arena and `out`, so that several threads may call it. */
size_t dt_seal_one(int directory, const char *name, const job *j, int *no_atime, uint8_t *arena, size_t at,
                   size_t room, item *out);

#endif
