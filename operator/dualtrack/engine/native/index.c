/* A page of a store's index: whether its entries are sound, and what they say, in columns.
 *
 * What `stores/envelope.py` (`index_summary`) and `summary.py` (`Summary.unpack`) do entry by entry. Where an entry
 * is not as both expect it, the answer is "no", and Python looks at each and says which one it is and why. */
#include "msgpack.h"
#include "row.h"
#include "xxh.h"

#include <string.h>

enum { HEAD = 23, HASHED_ROOM = 8192, SHORT_HASH = 17 };
enum { LAST_KIND = 4 };

/* `fulls` are the full keys with a NUL between them; each has one inside, between bucket and key. `data` are the
 * values one behind the other, `lengths` their sizes. 1 if all match their checks, which go over drive id, full key
 * and summary. */
EXPORTED int dt_check_index(const uint8_t *drive, uint64_t drive_size, const uint8_t *fulls, uint64_t fulls_size,
                            const uint8_t *data, uint64_t size, const uint32_t *lengths, uint64_t count)
{
    const uint8_t *full = fulls, *end = fulls + fulls_size;
    uint8_t hashed[HASHED_ROOM];
    uint64_t at = 0;

    if (drive_size > sizeof hashed / 2)
        return 0;
    memcpy(hashed, drive, drive_size);
    hashed[drive_size] = 0;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *inner = full < end ? memchr(full, 0, (size_t)(end - full)) : NULL;
        const uint8_t *last = inner ? memchr(inner + 1, 0, (size_t)(end - inner - 1)) : NULL;
        uint64_t value = lengths[i], key, length;
        uint8_t *into = hashed + drive_size + 1;

        if (!inner || !last != (i + 1 == count))
            return 0;
        key = (uint64_t)((last ? last : end) - full);
        if (value > size - at || value <= CHECK || key + value > sizeof hashed / 2 - 8)
            return 0;
        memcpy(into, full, key);
        into[key] = 0;
        memcpy(into + key + 1, data + at + CHECK, value - CHECK);
        length = drive_size + 1 + key + 1 + value - CHECK;
        if (length < SHORT_HASH || dt_xxh3_64(hashed, length) != big(data + at, CHECK))
            return 0;
        at += value;
        full = last ? last + 1 : end;
    }
    return at == size && full == end;
}

/* The columns of a page. `texts`: the ETag of each, with a NUL behind it, and where `classed` is set its storage
 * class with another; the others have the usual one. */
typedef struct {
    int64_t *times, *sizes;
    uint32_t *versions;
    uint8_t *kinds, *sealed, *is_inline, *classed;
    uint8_t *texts;
    uint64_t room, used;
} columns;

static int put(columns *c, const uint8_t *text, uint64_t size)
{
    if (size + 1 > c->room - c->used || (size && memchr(text, 0, size)))
        return 0;
    if (size)
        memcpy(c->texts + c->used, text, size);
    c->used += size;
    c->texts[c->used++] = 0;
    return 1;
}

/* A digest in hexadecimal digits, and "-N" where it has parts. Returns the length of the text. */
static uint64_t etag_text(const uint8_t *digest, const uint8_t *parts, uint8_t text[48])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t number[10], *first = number + sizeof number, *at = text;
    uint64_t rest;

    for (int i = 0; i < 16; i++) {
        *at++ = (uint8_t)digits[digest[i] >> 4];
        *at++ = (uint8_t)digits[digest[i] & 15];
    }
    if (!parts)
        return 32;
    rest = big(parts, 4);
    do
        *--first = (uint8_t)('0' + rest % 10);
    while (rest /= 10);
    *at++ = '-';
    memcpy(at, first, (size_t)(number + sizeof number - first));
    return (uint64_t)(at - text) + (uint64_t)(number + sizeof number - first);
}

/* A text behind its length; NULL where it does not fit. */
static const uint8_t *counted(const uint8_t **at, const uint8_t *end, uint64_t *size)
{
    const uint8_t *text = *at + 1;

    if (*at == end || **at > end - text)
        return NULL;
    *size = **at;
    *at = text + *size;
    return text;
}

static int unpack(const uint8_t *at, const uint8_t *end, columns *c, uint64_t row)
{
    uint8_t flags, text[48];
    const uint8_t *found, *parts = NULL;
    uint64_t size = 0;

    if (end - at < HEAD || at[0] != SUMMARY_SCHEMA || at[2] > LAST_KIND)
        return 0;
    flags = at[1];
    c->kinds[row] = at[2];
    c->times[row] = (int64_t)big(at + 3, 8);
    c->sizes[row] = (int64_t)big(at + 11, 8);
    c->versions[row] = (uint32_t)big(at + 19, 4);
    c->sealed[row] = (flags & SEALED_ETAG) != 0;
    c->is_inline[row] = (flags & INLINE) != 0;
    c->classed[row] = (flags & CLASS) != 0;
    at += HEAD;
    found = text;
    if (flags & TEXT_ETAG && !(flags & SEALED_ETAG)) {
        if (!(found = counted(&at, end, &size)))
            return 0;
    } else if (flags & MD5 && !(flags & SEALED_ETAG)) {
        const uint8_t *digest = at;

        if (end - at < (flags & PARTS ? 20 : 16))
            return 0;
        at += 16;
        if (flags & PARTS) {
            parts = at;
            at += 4;
        }
        size = etag_text(digest, parts, text);
    }
    if (!put(c, found, size))
        return 0;
    if (flags & CLASS && (!(found = counted(&at, end, &size)) || !put(c, found, size)))
        return 0;
    return at == end;
}

/* Summaries lie in `data` one behind the other, each behind `before` bytes of something else; `lengths` has the sizes
 * of both together. 1 if all were understood. */
EXPORTED int dt_unpack_index(const uint8_t *data, uint64_t size, const uint32_t *lengths, uint64_t count,
                             uint64_t before, columns *c)
{
    uint64_t at = 0;

    c->used = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (lengths[i] > size - at || lengths[i] < before
            || !unpack(data + at + before, data + at + lengths[i], c, i))
            return 0;
        at += lengths[i];
    }
    return at == size;
}
