#include "body.h"

#include <string.h>

/* Well within what `bodies.py` allows. */
enum { MAX_BODY = 400000, MAX_SMALL = 255 };

enum { ID, DDIR, EC_ALGO, EC_M, EC_N, EC_BSIZE, EC_INDEX, EC_DIST, CSUM_ALGO, PART_NUMS, PART_ETAGS,
       PART_SIZES, PART_ASIZES, PART_IDX, SIZE, MTIME, META_SYS, META_USR, FIELDS };

static const char *const names[FIELDS] = {
    "ID", "DDir", "EcAlgo", "EcM", "EcN", "EcBSize", "EcIndex", "EcDist", "CSumAlgo", "PartNums", "PartETags",
    "PartSizes", "PartASizes", "PartIdx", "Size", "MTime", "MetaSys", "MetaUsr",
};

/* Numbers that an object's body must have. */
static const uint32_t required = 1U << EC_ALGO | 1U << EC_M | 1U << EC_N | 1U << EC_BSIZE | 1U << EC_INDEX
    | 1U << CSUM_ALGO | 1U << SIZE | 1U << MTIME;

/* --- names ---------------------------------------------------------------------------------------------- */

int dt_equal(span s, const char *text)
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
    b->user = *c;
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

        while (field < FIELDS && !c->bad && !dt_equal(name, names[field]))
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
        int field = dt_equal(name, "ID") ? ID : dt_equal(name, "MTime") ? MTIME : META_SYS;

        c->bad |= (field == META_SYS && !dt_equal(name, "MetaSys")) || (b->seen & 1U << field);
        b->seen |= 1U << field;
        if (!c->bad)
            read_field(c, field, b);
    }
    c->bad |= !(b->seen & 1U << MTIME);
}

/* 1 if the body is a map of the kind that its header announces, and understood. */
int dt_read_body(span raw, int kind, body *b)
{
    cursor c = {raw.at, raw.at + raw.size, 0};
    int seen = 0;

    memset(b, 0, sizeof *b);
    c.bad = raw.size > MAX_BODY;
    for (uint32_t count = read_map(&c); count && !c.bad; count--) {
        span name = read_str(&c);
        int field = dt_equal(name, "Type") ? 1 : dt_equal(name, kind == OBJECT ? "V2Obj" : "DelObj") ? 2
            : dt_equal(name, "v") ? 4 : 8;

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
