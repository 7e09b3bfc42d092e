#include "meta.h"

#include "xxh.h"

#include <string.h>

enum { OBJECT = 1, DELETE = 2, FREE_FLAG = 1, HEADER_SIZE = 38 };
/* Well within what `wire.py` and `bodies.py` allow. */
enum { MAX_ITEMS = 10000, MAX_DEPTH = 5, MAX_BODY = 400000, MAX_SMALL = 255 };
enum { MD5 = 1, PARTS = 2, INLINE = 8, TEXT_ETAG = 16, CLASS = 32 };

/* Where reading stands. Once `bad` is set, every reader returns nothing and stays there. */
typedef struct {
    const uint8_t *at, *end;
    int bad;
} cursor;

typedef struct {
    const uint8_t *at;
    uint32_t size;
} span;

typedef struct {
    uint32_t seen; /* a bit for each field met; a second time is not understood */
    int has_data_dir;
    uint8_t data_dir[16];
    int64_t size;
    int64_t parts, part_sizes, actual_sizes;
    span etag, storage_class;
    int inline_marker;
} body;

enum { ID, DDIR, EC_ALGO, EC_M, EC_N, EC_BSIZE, EC_INDEX, EC_DIST, CSUM_ALGO, PART_NUMS, PART_ETAGS,
       PART_SIZES, PART_ASIZES, PART_IDX, SIZE, MTIME, META_SYS, META_USR, FIELDS };

static const char *const names[FIELDS] = {
    "ID", "DDir", "EcAlgo", "EcM", "EcN", "EcBSize", "EcIndex", "EcDist", "CSumAlgo", "PartNums", "PartETags",
    "PartSizes", "PartASizes", "PartIdx", "Size", "MTime", "MetaSys", "MetaUsr",
};

/* Numbers that an object's body must have. */
static const uint32_t required = 1U << EC_ALGO | 1U << EC_M | 1U << EC_N | 1U << EC_BSIZE | 1U << EC_INDEX
    | 1U << CSUM_ALGO | 1U << SIZE | 1U << MTIME;

/* --- MessagePack ---------------------------------------------------------------------------------------- */

static uint64_t big(const uint8_t *at, int width)
{
    uint64_t value = 0;

    while (width--)
        value = value << 8 | *at++;
    return value;
}

static const uint8_t *take(cursor *c, uint64_t size)
{
    const uint8_t *at = c->at;

    if (c->bad || size > (uint64_t)(c->end - c->at)) {
        c->bad = 1;
        return NULL;
    }
    c->at += size;
    return at;
}

static int peek(const cursor *c)
{
    return c->bad || c->at == c->end ? -1 : *c->at;
}

static int read_nil(cursor *c)
{
    if (peek(c) != 0xC0)
        return 0;
    c->at++;
    return 1;
}

static int64_t read_int(cursor *c)
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
static int64_t read_length(cursor *c, int first, int widths)
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

static span read_span(cursor *c, int64_t size)
{
    const uint8_t *at = size < 0 || size > 1 << 24 ? NULL : take(c, (uint64_t)size);

    c->bad |= !at;
    return (span){at, at ? (uint32_t)size : 0};
}

static span read_bin(cursor *c)
{
    return read_span(c, read_length(c, 0xC4, 3));
}

static span read_str(cursor *c)
{
    int tag = peek(c);

    if (tag >= 0xA0 && tag < 0xC0) {
        c->at++;
        return read_span(c, tag & 0x1F);
    }
    return read_span(c, read_length(c, 0xD9, 3));
}

static span read_bytes(cursor *c)
{
    return peek(c) >= 0xC4 && peek(c) <= 0xC6 ? read_bin(c) : read_str(c);
}

/* The number of entries; `fix` is the tag of the short form, `wide` that of the form with two bytes. */
static uint32_t read_count(cursor *c, int fix, int wide)
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

static uint32_t read_map(cursor *c)
{
    return read_count(c, 0x80, 0xDE);
}

static uint32_t read_array(cursor *c)
{
    return read_count(c, 0x90, 0xDC);
}

static void skip(cursor *c, int depth)
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

/* --- names ---------------------------------------------------------------------------------------------- */

static int equal(span s, const char *text)
{
    return s.size == strlen(text) && !memcmp(s.at, text, s.size);
}

/* The name in lower case, or "" where it is too long to be one that we know. Beyond ASCII, lower case is
 * Python's business. */
static void lower(cursor *c, span s, char *text, size_t room)
{
    for (uint32_t i = 0; i < s.size; i++)
        c->bad |= s.at[i] >= 0x80;
    if (s.size >= room)
        s.size = 0;
    for (uint32_t i = 0; i < s.size; i++)
        text[i] = (char)(s.at[i] >= 'A' && s.at[i] <= 'Z' ? s.at[i] + 32 : s.at[i]);
    text[s.size] = 0;
}

static int begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static void read_meta_sys(cursor *c, body *b)
{
    char name[128];

    if (read_nil(c))
        return;
    for (uint32_t count = read_map(c); count && !c->bad; count--) {
        span key = read_str(c);
        const char *rest = NULL;

        c->bad |= key.size >= sizeof name;
        lower(c, key, name, sizeof name);
        read_bytes(c);
        if (key.size >= 10 && begins(name + key.size - 10, "sealed-key"))
            c->bad = 1;
        if (begins(name, "x-rustfs-internal-") || begins(name, "x-minio-internal-"))
            rest = strstr(name, "-internal-") + 10;
        if (rest && (!strcmp(rest, "compression") || !strcmp(rest, "purgestatus")))
            c->bad = 1;
        if (rest && !strcmp(rest, "inline-data"))
            b->inline_marker = 1;
    }
}

static void read_meta_usr(cursor *c, body *b)
{
    char name[64];

    if (read_nil(c))
        return;
    for (uint32_t count = read_map(c); count && !c->bad; count--) {
        span key = read_str(c), value = read_str(c);

        lower(c, key, name, sizeof name);
        if (begins(name, "x-amz-server-side-encryption") || begins(name, "x-rustfs-encryption-"))
            c->bad = 1;
        if (key.size >= sizeof name && key.size >= 20 && !c->bad) {
            /* Long names: only the one prefix above could matter. */
            char head[21];
            lower(c, (span){key.at, 20}, head, sizeof head);
            c->bad |= begins(head, "x-rustfs-encryption-");
        }
        if (!strcmp(name, "etag")) {
            c->bad |= b->etag.at != NULL;
            b->etag = value;
        } else if (!strcmp(name, "x-amz-storage-class")) {
            c->bad |= b->storage_class.at != NULL;
            b->storage_class = value;
        }
    }
}

/* --- bodies --------------------------------------------------------------------------------------------- */

static void read_id(cursor *c, uint8_t id[16], int *given)
{
    span value;

    if (read_nil(c))
        return;
    value = read_bin(c);
    c->bad |= value.size != 16;
    if (!c->bad && id) {
        memcpy(id, value.at, 16);
        *given = 1;
    }
}

static int64_t read_between(cursor *c, int64_t least, int64_t most)
{
    int64_t value = read_int(c);

    c->bad |= value < least || value > most;
    return value;
}

/* The number of integers in a list; none is smaller than `least`, and their sum is one, too. */
static int64_t read_ints(cursor *c, int64_t least)
{
    uint32_t count;
    int64_t sum = 0;

    if (read_nil(c))
        return 0;
    count = read_array(c);
    for (uint32_t i = 0; i < count && !c->bad; i++)
        c->bad |= __builtin_add_overflow(sum, read_between(c, least, INT64_MAX), &sum);
    return count;
}

static void read_texts(cursor *c, int bytes)
{
    if (read_nil(c))
        return;
    for (uint32_t count = read_array(c); count && !c->bad; count--) {
        if (bytes)
            read_bytes(c);
        else
            read_str(c);
    }
}

static void read_field(cursor *c, int field, body *b)
{
    switch (field) {
    case ID: read_id(c, NULL, NULL); break;
    case DDIR: read_id(c, b->data_dir, &b->has_data_dir); break;
    case EC_M: read_between(c, 1, MAX_SMALL); break;
    case EC_ALGO: case EC_N: case CSUM_ALGO: read_between(c, 0, MAX_SMALL); break;
    case EC_BSIZE: read_between(c, 1, INT64_MAX); break;
    case EC_INDEX: read_between(c, 0, INT64_MAX); break;
    case SIZE: b->size = read_between(c, 0, INT64_MAX); break;
    case MTIME: read_between(c, -INT64_MAX, INT64_MAX); break;
    case EC_DIST: read_ints(c, 0); break;
    case PART_NUMS: b->parts = read_ints(c, 0); break;
    case PART_SIZES: b->part_sizes = read_ints(c, 0); break;
    case PART_ASIZES: b->actual_sizes = read_ints(c, -1); break;
    case PART_ETAGS: read_texts(c, 0); break;
    case PART_IDX: read_texts(c, 1); break;
    case META_SYS: read_meta_sys(c, b); break;
    case META_USR: read_meta_usr(c, b); break;
    }
}

static void read_object(cursor *c, body *b)
{
    for (uint32_t count = read_map(c); count && !c->bad; count--) {
        span name = read_str(c);
        int field = 0;

        while (field < FIELDS && !c->bad && !equal(name, names[field]))
            field++;
        if (field == FIELDS) {
            skip(c, 0);
            continue;
        }
        c->bad |= (b->seen & 1U << field) != 0;
        b->seen |= 1U << field;
        read_field(c, field, b);
    }
    c->bad |= (b->seen & required) != required || b->part_sizes != b->parts
        || (b->actual_sizes && b->actual_sizes != b->parts);
}

static void read_delete(cursor *c, body *b)
{
    for (uint32_t count = read_map(c); count && !c->bad; count--) {
        span name = read_str(c);
        int field = equal(name, "ID") ? ID : equal(name, "MTime") ? MTIME : META_SYS;

        c->bad |= (field == META_SYS && !equal(name, "MetaSys")) || (b->seen & 1U << field);
        b->seen |= 1U << field;
        if (!c->bad)
            read_field(c, field, b);
    }
    c->bad |= !(b->seen & 1U << MTIME);
}

/* 1 if the body is a map of the kind that its header announces, and understood. */
static int read_body(span raw, int kind, body *b)
{
    cursor c = {raw.at, raw.at + raw.size, 0};
    int seen = 0;

    memset(b, 0, sizeof *b);
    c.bad = raw.size > MAX_BODY;
    for (uint32_t count = read_map(&c); count && !c.bad; count--) {
        span name = read_str(&c);
        int field = equal(name, "Type") ? 1 : equal(name, kind == OBJECT ? "V2Obj" : "DelObj") ? 2
            : equal(name, "v") ? 4 : 8;

        c.bad |= field == 8 || (seen & field);
        seen |= field;
        if (c.bad)
            break;
        if (field == 1)
            c.bad |= read_int(&c) != kind;
        else if (field == 4)
            read_int(&c);
        else if (kind == OBJECT)
            read_object(&c, b);
        else
            read_delete(&c, b);
    }
    return !c.bad && c.at == c.end && (seen & 3) == 3;
}

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

typedef struct {
    span header, raw_body;
    int kind, flags;
    int64_t time;
} version;

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
        if (b->storage_class.size && !equal(b->storage_class, "STANDARD")) {
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

static int read_version(cursor *c, version *v)
{
    const uint8_t *h;
    int first;

    v->header = read_bin(c);
    v->raw_body = read_bin(c);
    if (c->bad || v->header.size != HEADER_SIZE || !v->raw_body.size)
        return 0;
    h = v->header.at;
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

/* 1 if the section is sound; `found` tells whether it has an entry for the version, by any of the names that
 * servers have given one: `null`, the version's id, its data directory. */
static int read_inline(cursor c, const uint8_t id[16], const body *b, int *found)
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
            *found |= equal(key, name) || equal(key, other) || (!memcmp(id, none, 16) && equal(key, "null"));
        read_bin(&c);
    }
    return !c.bad && c.at == c.end;
}

int dt_understand(const uint8_t *data, size_t size, int dirs, understood *out)
{
    static const uint8_t prefix[] = "XL2 \x01\x00\x03\x00\xc6";
    cursor c;
    size_t length;
    int64_t count;
    version latest = {0}, v;
    body newest, b;
    int has_entry;

    memset(out, 0, offsetof(understood, summary));
    out->data_dirs = 0;
    if (size < 18 || memcmp(data, prefix, 9))
        return 0;
    length = big(data + 9, 4);
    if (length > size - 18 || data[13 + length] != 0xCE)
        return 0;
    if (big(data + 14 + length, 4) != (dt_xxh64(data + 13, length) & 0xFFFFFFFF))
        return 0;
    c = (cursor){data + 13, data + 13 + length, 0};
    if (read_int(&c) != 3 || (uint64_t)read_int(&c) - 1 > 2)
        return 0;
    count = read_int(&c);
    if (c.bad || count < 1 || count > c.end - c.at)
        return 0;
    out->versions = (uint32_t)count;
    for (int64_t i = 0; i < count; i++) {
        int known = 1;

        if (!read_version(&c, &v))
            return 0;
        if (i == 0 || dirs)
            known = read_body(v.raw_body, v.kind, i ? &b : &newest);
        if (i == 0 && !known)
            return 0;
        if (i == 0)
            latest = v;
        if (dirs && known)
            note_data_dir(&v, i ? &b : &newest, out);
        else if (dirs)
            out->data_dirs = -1;
    }
    if (c.at != c.end)
        return 0;
    c = (cursor){data + 18 + length, data + size, 0};
    if (!read_inline(c, latest.header.at + 3, &newest, &has_entry))
        return 0;
    if (newest.etag.size > 32 && !memcmp(newest.etag.at, "20000f00", 8))
        return 0; /* sealed: Python tells by whom */
    summarise(&latest, &newest, has_entry, out);
    return 1;
}
