#include "meta.h"

#include "xxh.h"

#include <string.h>

enum { HEADER_SIZE = 38 };

/* --- the summary ---------------------------------------------------------------------------------------- */

static uint8_t *put_big(uint8_t *at, uint64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--, value >>= 8)
        at[i] = (uint8_t)value;
    return at + width;
}

static uint8_t *put_text(uint8_t *at, span text)
{
    uint32_t size = text.size > 255 ? 255 : text.size;

    *at++ = (uint8_t)size;
    memcpy(at, text.at, size);
    return at + size;
}

static int hex(uint8_t digit)
{
    return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The number of parts in "-N" behind an MD5 (0 without one); -1 where it is no such form. */
static int64_t part_count(span tail)
{
    int64_t count = 0;

    if (!tail.size)
        return 0;
    if (tail.size < 2 || tail.size > 10 || tail.at[0] != '-' || tail.at[1] == '0')
        return -1;
    for (uint32_t i = 1; i < tail.size; i++) {
        if (tail.at[i] < '0' || tail.at[i] > '9')
            return -1;
        count = 10 * count + (tail.at[i] - '0');
    }
    return count;
}

static uint8_t *put_etag(uint8_t *at, span etag, uint8_t *flags)
{
    uint8_t digest[16];
    int64_t parts = etag.size >= 32 ? part_count((span){etag.at + 32, etag.size - 32}) : -1;

    for (int i = 0; i < 16 && parts >= 0; i++) {
        int high = hex(etag.at[2 * i]), low = hex(etag.at[2 * i + 1]);

        if (high < 0 || low < 0)
            parts = -1;
        else
            digest[i] = (uint8_t)(high << 4 | low);
    }
    if (parts < 0) {
        *flags |= TEXT_ETAG;
        return put_text(at, etag);
    }
    *flags |= MD5;
    memcpy(at, digest, 16);
    at += 16;
    if (parts) {
        *flags |= PARTS;
        at = put_big(at, (uint64_t)parts, 4);
    }
    return at;
}

static void summarise(const version *latest, const body *b, int has_entry, understood *out)
{
    uint8_t *at = out->summary, flags = 0, shown = (uint8_t)latest->kind;
    int object = latest->kind == OBJECT;

    if (!object && latest->flags & FREE_FLAG)
        shown = 4;
    at = put_big(at, SUMMARY_SCHEMA, 1) + 1;
    at = put_big(at, shown, 1);
    at = put_big(at, (uint64_t)latest->time, 8);
    at = put_big(at, object ? (uint64_t)b->size : 0, 8);
    at = put_big(at, out->versions, 4);
    if (object) {
        if (b->etag.size)
            at = put_etag(at, b->etag, &flags);
        if (has_entry && (b->inline_marker || !b->size))
            flags |= INLINE;
        if (b->storage_class.size && !dt_equal(b->storage_class, "STANDARD")) {
            flags |= CLASS;
            at = put_text(at, b->storage_class);
        }
    }
    out->summary[1] = flags;
    out->summary_size = (uint32_t)(at - out->summary);
}

/* --- the file ------------------------------------------------------------------------------------------- */

void dt_uuid_text(const uint8_t id[16], char text[37])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = digits[id[i] >> 4];
        *text++ = digits[id[i] & 15];
    }
    *text = 0;
}

int dt_read_version(cursor *c, version *v)
{
    const uint8_t *h;
    int first;

    v->header = read_bin(c);
    v->raw_body = read_bin(c);
    if (c->bad || v->header.size != HEADER_SIZE || !v->raw_body.size)
        return 0;
    h = v->header.at;
    v->id = h + 3;
    first = v->raw_body.at[0];
    v->time = (int64_t)big(h + 20, 8);
    v->kind = h[34];
    v->flags = h[35];
    return h[0] == 0x97 && h[1] == 0xC4 && h[2] == 16 && h[19] == 0xD3 && h[28] == 0xC4 && h[29] == 4
        && v->time != INT64_MIN && (h[34] | h[35] | h[36] | h[37]) < 0x80 && (v->kind == OBJECT || v->kind == DELETE)
        && ((first >= 0x80 && first < 0x90) || first == 0xDE || first == 0xDF);
}

static void note_data_dir(const version *v, const body *b, understood *out)
{
    static const uint8_t none[16];

    if (v->kind != OBJECT || !b->has_data_dir || !memcmp(b->data_dir, none, 16) || out->data_dirs < 0)
        return;
    for (int i = 0; i < out->data_dirs; i++)
        if (!memcmp(out->data_dir[i], b->data_dir, 16))
            return;
    if (out->data_dirs == DATA_DIRS)
        out->data_dirs = -1;
    else
        memcpy(out->data_dir[out->data_dirs++], b->data_dir, 16);
}

int dt_read_inline(cursor c, const uint8_t id[16], const body *b, int *found)
{
    static const uint8_t none[16];
    char name[37], other[37] = "";

    *found = 0;
    if (c.at == c.end)
        return 1;
    if (*c.at++ != 1)
        return 0;
    dt_uuid_text(id, name);
    if (b->has_data_dir && memcmp(b->data_dir, none, 16))
        dt_uuid_text(b->data_dir, other);
    for (uint32_t count = read_map(&c); count && !c.bad; count--) {
        span key = read_str(&c);

        if (!c.bad && key.size)
            *found |= dt_equal(key, name) || dt_equal(key, other) || (!memcmp(id, none, 16) && dt_equal(key, "null"));
        read_bin(&c);
    }
    return !c.bad && c.at == c.end;
}

int dt_open(const uint8_t *data, size_t size, opened *out)
{
    static const uint8_t prefix[] = "XL2 \x01\x00\x03\x00\xc6";
    cursor *c = &out->versions;
    size_t length;

    if (size < 18 || memcmp(data, prefix, 9))
        return 0;
    length = big(data + 9, 4);
    if (length > size - 18 || data[13 + length] != 0xCE)
        return 0;
    if (big(data + 14 + length, 4) != (dt_xxh64(data + 13, length) & 0xFFFFFFFF))
        return 0;
    *c = (cursor){data + 13, data + 13 + length, 0};
    out->inline_section = (cursor){data + 18 + length, data + size, 0};
    if (read_int(c) != 3 || (uint64_t)read_int(c) - 1 > 2)
        return 0;
    out->count = read_int(c);
    return !c->bad && out->count >= 1 && out->count <= c->end - c->at;
}

int dt_sealed_etag(const body *b)
{
    return b->etag.size > 32 && !memcmp(b->etag.at, "20000f00", 8);
}

int dt_understand(const uint8_t *data, size_t size, int dirs, understood *out)
{
    opened file;
    version latest = {0}, v;
    body newest, b;
    int has_entry;

    memset(out, 0, offsetof(understood, summary));
    out->data_dirs = 0;
    if (!dt_open(data, size, &file))
        return 0;
    out->versions = (uint32_t)file.count;
    for (int64_t i = 0; i < file.count; i++) {
        int known = 1;

        if (!dt_read_version(&file.versions, &v))
            return 0;
        if (i == 0 || dirs)
            known = dt_read_body(v.raw_body, v.kind, i ? &b : &newest);
        if (i == 0 && !known)
            return 0;
        if (i == 0)
            latest = v;
        if (dirs && known)
            note_data_dir(&v, i ? &b : &newest, out);
        else if (dirs)
            out->data_dirs = -1;
    }
    if (file.versions.at != file.versions.end)
        return 0;
    if (!dt_read_inline(file.inline_section, latest.id, &newest, &has_entry) || dt_sealed_etag(&newest))
        return 0;
    summarise(&latest, &newest, has_entry, out);
    return 1;
}
