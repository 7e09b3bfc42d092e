/* XXH64, XXH3-64 and XXH3-128 with seed 0, written from the algorithm's description: what CRCs of xl.meta,
 * index entries and envelopes are made of. The tests hold every length against the xxhash library. */
#ifndef DUALTRACK_XXH_H
#define DUALTRACK_XXH_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t low, high;
} xxh128;

uint64_t dt_xxh64(const uint8_t *data, size_t size);

/* Only for 17 bytes and more; shorter input never occurs here. */
uint64_t dt_xxh3_64(const uint8_t *data, size_t size);

/* Only for more than 240 bytes, the form that blocks take. */
xxh128 dt_xxh3_128(const uint8_t *data, size_t size);

#endif
