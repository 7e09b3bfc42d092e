/* Rows that were sealed just now, held against what a store has under their keys.
 *
 * The same answer as `match_in_python` in `stores/matching.py`, for thousands of rows in one call and without the
 * interpreter's lock. Rows that are so short that `reader.c` would not have sealed them count as different, which costs
 * a closer look. It reads memory and nothing else. */
#include "reader.h"

#include "xxh.h"

#include <stdlib.h>
#include <string.h>

enum { OVERHEAD = HEADER + SEAL, BEFORE_GENERATION = 6, GENERATION = 12, AFTER_FINGERPRINT = 50 };
enum { DIFFERENT = 0, MATCHED = 1, UNHASHED = 2 };
/* Up to here XXH3 has other forms, which `xxh.c` does not know. */
enum { SHORTEST = 241 };

/* Byte strings, one behind the other; `sizes` are their lengths. One of no length stands for none. */
typedef struct {
    const uint8_t *at;
    const uint32_t *sizes;
} strings;

typedef struct {
    strings fulls, values, entries, rows, kept;
    const uint8_t *drive, *floor;
    uint32_t drive_size, count;
} comparison;

/* Sums without a modulus, low word first. */
typedef struct {
    uint64_t seals[3], digests[3], checks[3];
} sums;

static void add(uint64_t sum[3], uint64_t high, uint64_t low)
{
    unsigned __int128 total = (unsigned __int128)sum[0] + low;

    sum[0] = (uint64_t)total;
    total = (total >> 64) + sum[1] + high;
    sum[1] = (uint64_t)total;
    sum[2] += (uint64_t)(total >> 64);
}

static uint64_t load(const uint8_t *at)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

static uint8_t *append(uint8_t *at, const uint8_t *from, size_t size)
{
    memcpy(at, from, size);
    return at + size;
}

/* Whether the two say the same of the object and its file, and the stored one is of a trusted generation. Both
 * have `size` bytes. */
static int agree(const uint8_t *row, const uint8_t *value, size_t size, const uint8_t *floor)
{
    return !memcmp(row, value, BEFORE_GENERATION)
        && !memcmp(row + AFTER_FINGERPRINT, value + AFTER_FINGERPRINT, HEADER - AFTER_FINGERPRINT)
        && !memcmp(row + OVERHEAD, value + OVERHEAD, size - OVERHEAD)
        && memcmp(row + BEFORE_GENERATION, floor, GENERATION) >= 0;
}

/* Whether the row is the one that was stored under this key; adds its seal to the sums. */
static int sealed_well(const comparison *c, const uint8_t *full, uint32_t full_size, const uint8_t *row, size_t size,
                       uint8_t *scratch, sums *s)
{
    uint8_t *at = append(scratch, c->drive, c->drive_size);
    xxh128 seal;

    *at++ = 0;
    at = append(at, full, full_size);
    *at++ = 0;
    at = append(at, row, HEADER);
    at = append(at, row + OVERHEAD, size - OVERHEAD);
    if (at - scratch < SHORTEST)
        return 0;
    seal = dt_xxh3_128(scratch, (size_t)(at - scratch));
    if (seal.high != load(row + HEADER) || seal.low != load(row + HEADER + 8))
        return 0;
    add(s->seals, seal.high, seal.low);
    return 1;
}

/* The row's hash for the digest; UNHASHED where Python has to take it. */
static int digest(const uint8_t *full, uint32_t full_size, const uint8_t *row, size_t size, uint8_t *scratch, sums *s)
{
    uint8_t *at = append(scratch, full, full_size);
    xxh128 hash;

    *at++ = 0;
    at = append(at, row + OVERHEAD, size - OVERHEAD);
    if (at - scratch < SHORTEST)
        return UNHASHED;
    hash = dt_xxh3_128(scratch, (size_t)(at - scratch));
    add(s->digests, hash.high, hash.low);
    return MATCHED;
}

/* For each row whether it lies in the store as the file gives it now, with the sums over those that do. Returns 0, or
 * -1 without memory. */
EXPORTED int64_t dt_match(const comparison *c, uint8_t *states, sums *s)
{
    const uint8_t *full = c->fulls.at, *value = c->values.at, *entry = c->entries.at;
    const uint8_t *row = c->rows.at, *kept = c->kept.at;
    size_t most = 0;
    uint8_t *scratch;

    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < c->count; i++) {
        size_t size = (size_t)c->fulls.sizes[i] + c->rows.sizes[i];

        most = size > most ? size : most;
    }
    scratch = malloc(c->drive_size + most + 2);
    if (!scratch)
        return -1;
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t full_size = c->fulls.sizes[i], entry_size = c->entries.sizes[i];
        size_t size = c->rows.sizes[i];

        states[i] = DIFFERENT;
        if (size >= OVERHEAD && size == c->values.sizes[i] && entry_size >= CHECK && entry_size == c->kept.sizes[i]
            && !memcmp(entry, kept, entry_size) && agree(row, value, size, c->floor)
            && sealed_well(c, full, full_size, row, size, scratch, s)) {
            states[i] = (uint8_t)digest(full, full_size, row, size, scratch, s);
            add(s->checks, 0, load(kept));
        }
        full += full_size;
        value += c->values.sizes[i];
        entry += entry_size;
        row += size;
        kept += c->kept.sizes[i];
    }
    free(scratch);
    return 0;
}
