/* MessagePack as an `xl.meta` uses it, read where it lies: nothing is copied, nothing beyond the end is looked at.
 * A strict subset of what `formats/wire.py` takes; the rest is `bad`, and Python's to read. */
#ifndef DUALTRACK_MSGPACK_H
#define DUALTRACK_MSGPACK_H

#include <stddef.h>
#include <stdint.h>

/* Well within what `wire.py` and `bodies.py` allow. */
enum { MAX_ITEMS = 10000, MAX_DEPTH = 5 };

/* Where reading stands. Once `bad` is set, every reader returns nothing and stays there. */
typedef struct {
    const uint8_t *at, *end;
    int bad;
} cursor;

typedef struct {
    const uint8_t *at;
    uint32_t size;
} span;

static inline uint64_t big(const uint8_t *at, int width)
{
    uint64_t value = 0;

    while (width--)
        value = value << 8 | *at++;
    return value;
}

static inline const uint8_t *take(cursor *c, uint64_t size)
{
    const uint8_t *at = c->at;

    if (c->bad || size > (uint64_t)(c->end - c->at)) {
        c->bad = 1;
        return NULL;
    }
    c->at += size;
    return at;
}

static inline int peek(const cursor *c)
{
    return c->bad || c->at == c->end ? -1 : *c->at;
}

static inline int read_nil(cursor *c)
{
    if (peek(c) != 0xC0)
        return 0;
    c->at++;
    return 1;
}

static inline int64_t read_int(cursor *c)
{
    const uint8_t *tag = take(c, 1), *at;
    uint64_t value;
    int width;

    if (!tag)
        return 0;
    if (*tag < 0x80)
        return *tag;
    if (*tag >= 0xE0)
        return (int8_t)*tag;
    if (*tag < 0xCC || *tag > 0xD3) {
        c->bad = 1;
        return 0;
    }
    width = 1 << (*tag & 3);
    if (!(at = take(c, (uint64_t)width)))
        return 0;
    value = big(at, width);
    if (*tag < 0xD0) {
        c->bad |= value > INT64_MAX;
        return (int64_t)value;
    }
    return width == 8 ? (int64_t)value : (int64_t)(value << (64 - 8 * width)) >> (64 - 8 * width);
}

/* The length behind one of three tags for 1, 2 and 4 bytes; -1 where another tag stands. */
static inline int64_t read_length(cursor *c, int first, int widths)
{
    int tag = peek(c), width;
    const uint8_t *at;

    if (tag < first || tag >= first + widths)
        return -1;
    width = 1 << (tag - first);
    c->at++;
    at = take(c, (uint64_t)width);
    return at ? (int64_t)big(at, width) : -1;
}

static inline span read_span(cursor *c, int64_t size)
{
    const uint8_t *at = size < 0 || size > 1 << 24 ? NULL : take(c, (uint64_t)size);

    c->bad |= !at;
    return (span){at, at ? (uint32_t)size : 0};
}

static inline span read_bin(cursor *c)
{
    return read_span(c, read_length(c, 0xC4, 3));
}

static inline span read_str(cursor *c)
{
    int tag = peek(c);

    if (tag >= 0xA0 && tag < 0xC0) {
        c->at++;
        return read_span(c, tag & 0x1F);
    }
    return read_span(c, read_length(c, 0xD9, 3));
}

static inline span read_bytes(cursor *c)
{
    return peek(c) >= 0xC4 && peek(c) <= 0xC6 ? read_bin(c) : read_str(c);
}

/* The number of entries; `fix` is the tag of the short form, `wide` that of the form with two bytes. */
static inline uint32_t read_count(cursor *c, int fix, int wide)
{
    int tag = peek(c);
    int64_t count;

    if (tag >= fix && tag < fix + 16) {
        c->at++;
        return (uint32_t)tag & 0x0F;
    }
    if (tag == wide) {
        const uint8_t *at = take(c, 3);
        count = at ? (int64_t)big(at + 1, 2) : -1;
    } else {
        count = -1;
    }
    if (count < 0 || count > MAX_ITEMS) {
        c->bad = 1;
        return 0;
    }
    return (uint32_t)count;
}

static inline uint32_t read_map(cursor *c)
{
    return read_count(c, 0x80, 0xDE);
}

static inline uint32_t read_array(cursor *c)
{
    return read_count(c, 0x90, 0xDC);
}

static inline void skip(cursor *c, int depth)
{
    int tag = peek(c);
    uint32_t count;

    if (depth > MAX_DEPTH || tag < 0) {
        c->bad = 1;
    } else if (tag == 0xC0 || tag == 0xC2 || tag == 0xC3) {
        c->at++;
    } else if (tag < 0x80 || tag >= 0xE0 || (tag >= 0xCC && tag <= 0xD3)) {
        read_int(c);
    } else if ((tag >= 0xC4 && tag <= 0xC6) || (tag >= 0xA0 && tag < 0xC0) || (tag >= 0xD9 && tag <= 0xDB)) {
        read_bytes(c);
    } else if ((tag >= 0x90 && tag < 0xA0) || tag == 0xDC) {
        for (count = read_array(c); count && !c->bad; count--)
            skip(c, depth + 1);
    } else if (tag < 0x90 || tag == 0xDE) {
        for (count = read_map(c); count && !c->bad; count--) {
            read_str(c);
            skip(c, depth + 1);
        }
    } else {
        c->bad = 1; /* floats, extensions, the longest forms */
    }
}

#endif
