/* Rows of a store as lines of JSON, a version a line: what `dualtrack engine export` prints.
 *
 * For each row what Python does in `stores/envelope.py`, `formats/`, `entries.py` and `jsonlines.py`: the seal is
 * checked, the file's CRC, every header, every body; then every version is written. All of a row comes out, or
 * none of it: where anything is not of the usual form (another state, an older format, encryption, compression,
 * text that is no UTF-8, two names that become one) the call ends before that row, and Python reads it. So does a
 * row that is damaged: Python says what is wrong with it.
 *
 * Nothing is written but the caller's memory, and nothing is kept between two calls. */
#include "json.h"
#include "meta.h"
#include "row.h"
#include "xxh.h"

#include <string.h>

enum { LENGTH_AT = 82, LONG_HASH = 240 };
enum { TOMBSTONE = 2, ORIGINS = 2, NAMES = 1 };
enum { MAX_VERSIONS = 1000, MAX_NAMES = 64, NAME_ROOM = 256, MAX_TAGS = 64, TAG_ROOM = 4096 };

/* An entry of MetaUsr; `shown`: user metadata, with the prefix of its name cut off. */
typedef struct {
    span name, value;
    int shown;
} pair;

/* --- names ---------------------------------------------------------------------------------------------- */

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
}

/* Whether the name begins with a text in lower case, whatever its own case. */
static int begins(span name, const char *with)
{
    uint32_t i = 0;

    while (with[i] && i < name.size && lower(name.at[i]) == (uint8_t)with[i])
        i++;
    return !with[i];
}

static int is(span name, const char *text)
{
    return name.size == strlen(text) && begins(name, text);
}

static int alike(span a, span b)
{
    uint32_t i = 0;

    if (a.size != b.size)
        return 0;
    while (i < a.size && lower(a.at[i]) == lower(b.at[i]))
        i++;
    return i == a.size;
}

/* Whether a name that is not the user's by its prefix is the server's own; see `attributes.py`. */
static int reserved(span name)
{
    static const char *const standard[] = {
        "etag", "content-type", "content-encoding", "content-disposition", "content-language", "content-length",
        "content-md5", "cache-control", "expires", "last-modified", "md5sum",
    };

    if (begins(name, "x-amz-") || begins(name, "x-rustfs-") || begins(name, "x-minio-"))
        return 1;
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        if (is(name, standard[i]))
            return 1;
    return 0;
}

static void put_name(writer *w, span name)
{
    uint8_t text[NAME_ROOM];

    if (name.size > sizeof text) {
        w->odd = 1;
        return;
    }
    for (uint32_t i = 0; i < name.size; i++)
        text[i] = lower(name.at[i]);
    dt_put_text(w, (span){text, name.size});
}

/* --- tags ----------------------------------------------------------------------------------------------- */

static int hex(uint8_t digit)
{
    uint8_t small = lower(digit);

    return digit >= '0' && digit <= '9' ? digit - '0' : small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

/* Decode a part of a query up to `stop` or '&' into `*into`, and say where it ends; NULL where it is not plain. */
static const uint8_t *unquote(const uint8_t *at, const uint8_t *end, uint8_t stop, uint8_t **into)
{
    for (; at < end && *at != '&' && *at != stop; at++) {
        uint8_t byte = *at == '+' ? ' ' : *at;

        if (byte >= 0x80)
            return NULL;
        if (byte == '%') {
            if (end - at < 3 || hex(at[1]) < 0 || hex(at[2]) < 0)
                return NULL;
            byte = (uint8_t)(hex(at[1]) << 4 | hex(at[2]));
            at += 2;
        }
        *(*into)++ = byte;
    }
    return at;
}

/* The tags of an object, kept as a query: `k1=v1&k2=v2`. */
static void put_tags(writer *w, span query)
{
    uint8_t text[TAG_ROOM], *into = text;
    const uint8_t *at = query.at, *end = at + query.size;
    span names[MAX_TAGS];
    int count = 0;

    PUT(w, "{");
    w->odd |= query.size > sizeof text; /* decoded it is no longer */
    while (at < end && !w->odd) {
        span name = {into, 0}, value;

        at = unquote(at, end, '=', &into);
        name.size = (uint32_t)(into - name.at);
        value = (span){into, 0};
        if (at && at < end && *at == '=')
            at = unquote(at + 1, end, '&', &into);
        value.size = (uint32_t)(into - value.at);
        if (!at || count == MAX_TAGS || (!name.size && !value.size)) {
            w->odd = 1;
            break;
        }
        for (int i = 0; i < count; i++)
            w->odd |= names[i].size == name.size && !memcmp(names[i].at, name.at, name.size);
        if (count)
            PUT(w, ",");
        names[count++] = name;
        dt_put_text(w, name);
        PUT(w, ":");
        dt_put_text(w, value);
        at += at < end; /* the '&' */
    }
    PUT(w, "}");
}

/* --- one version ---------------------------------------------------------------------------------------- */

/* The entries of MetaUsr as they stand in the body; 0 where two have the same name, which is Python's to settle. */
static int read_user(cursor c, pair pairs[MAX_NAMES], int *count)
{
    static const char prefix[] = "x-amz-meta-";

    *count = 0;
    if (!c.at)
        return 1;
    for (uint32_t left = read_map(&c); left && !c.bad; left--) {
        pair *here = &pairs[*count];

        if (*count == MAX_NAMES)
            return 0;
        here->name = read_str(&c);
        here->value = read_str(&c);
        here->shown = 1;
        if (begins(here->name, prefix))
            here->name = (span){here->name.at + sizeof prefix - 1, here->name.size - (sizeof prefix - 1)};
        else
            here->shown = !reserved(here->name);
        for (int i = 0; i < *count; i++)
            c.bad |= pairs[i].shown == here->shown && alike(pairs[i].name, here->name);
        ++*count;
    }
    return !c.bad;
}

static const span *find(const pair *pairs, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!pairs[i].shown && is(pairs[i].name, name))
            return &pairs[i].value;
    return NULL;
}

static void put_text_or_null(writer *w, const span *text)
{
    if (text)
        dt_put_text(w, *text);
    else
        PUT(w, "null");
}

static void put_id(writer *w, const uint8_t id[16])
{
    char text[37];

    dt_uuid_text(id, text);
    PUT(w, "\"");
    dt_put(w, text, 36);
    PUT(w, "\"");
}

static void put_user_metadata(writer *w, const pair *pairs, int count)
{
    const char *between = "";

    PUT(w, "{");
    for (int i = 0; i < count; i++) {
        if (!pairs[i].shown)
            continue;
        dt_put(w, between, strlen(between));
        put_name(w, pairs[i].name);
        PUT(w, ":");
        dt_put_text(w, pairs[i].value);
        between = ",";
    }
    PUT(w, "}");
}

/* What only an object has: everything behind its time, and before it what `put_version` leaves to it. */
static void put_object_tail(writer *w, const body *b, const pair *pairs, int count, int is_inline)
{
    static const uint8_t none[16];
    static const span standard = {(const uint8_t *)"STANDARD", 8};
    const span *tagging = find(pairs, count, "x-amz-tagging");

    PUT(w, ",\"contentType\":");
    put_text_or_null(w, find(pairs, count, "content-type"));
    PUT(w, ",\"userMetadata\":");
    put_user_metadata(w, pairs, count);
    PUT(w, ",\"tags\":");
    put_tags(w, tagging ? *tagging : (span){NULL, 0});
    PUT(w, ",\"storageClass\":");
    dt_put_text(w, b->storage_class.size ? b->storage_class : standard);
    PUT(w, ",\"dataDir\":");
    if (is_inline || !b->has_data_dir || !memcmp(b->data_dir, none, 16))
        PUT(w, "null");
    else
        put_id(w, b->data_dir);
    PUT(w, ",\"inline\":");
    if (is_inline)
        PUT(w, "true");
    else
        PUT(w, "false");
    PUT(w, ",\"parts\":");
    dt_put_int(w, b->parts);
    PUT(w, "}\n");
}

static void put_version(writer *w, span bucket, span key, const version *v, const body *b, int latest, int entry)
{
    static const uint8_t none[16];
    static const span empty = {(const uint8_t *)"", 0};
    static const char deletion[] =
        ",\"contentType\":null,\"userMetadata\":{},\"tags\":{},\"storageClass\":null,\"dataDir\":null,"
        "\"inline\":false,\"parts\":0}\n";
    const char *kind = v->kind == OBJECT ? "object" : v->flags & FREE_FLAG ? "freeVersion" : "deleteMarker";
    const char *state = latest ? "true" : "false";
    pair pairs[MAX_NAMES];
    int count = 0;

    if (v->kind == OBJECT && !read_user(b->user, pairs, &count)) {
        w->odd = 1;
        return;
    }
    PUT(w, "{\"bucket\":");
    dt_put_text(w, bucket);
    PUT(w, ",\"key\":");
    dt_put_text(w, key);
    PUT(w, ",\"versionId\":");
    if (memcmp(v->id, none, 16))
        put_id(w, v->id);
    else
        PUT(w, "\"null\"");
    PUT(w, ",\"isLatest\":");
    dt_put(w, state, strlen(state));
    PUT(w, ",\"kind\":\"");
    dt_put(w, kind, strlen(kind));
    PUT(w, "\",\"etag\":");
    put_text_or_null(w, v->kind != OBJECT ? NULL : b->etag.at ? &b->etag : &empty);
    PUT(w, ",\"etagSealed\":false,\"size\":");
    dt_put_int(w, v->kind == OBJECT ? b->size : 0);
    PUT(w, ",\"lastModified\":");
    dt_put_time(w, v->time);
    if (v->kind == OBJECT)
        put_object_tail(w, b, pairs, count, entry && (b->inline_marker || !b->size));
    else
        dt_put(w, deletion, sizeof deletion - 1);
}

/* 1 if all versions of a file were written. */
static int put_file(writer *w, span bucket, span key, span file)
{
    opened o;
    version v;
    body b;
    int entry;

    if (!dt_open(file.at, file.size, &o) || o.count > MAX_VERSIONS)
        return 0;
    for (int64_t i = 0; i < o.count; i++) {
        if (!dt_read_version(&o.versions, &v) || !dt_read_body(v.raw_body, v.kind, &b) || dt_sealed_etag(&b)
            || !dt_read_inline(o.inline_section, v.id, &b, &entry))
            return 0;
        put_version(w, bucket, key, &v, &b, i == 0, entry);
        if (w->full || w->odd)
            return 0;
    }
    return o.versions.at == o.versions.end;
}

/* --- rows ----------------------------------------------------------------------------------------------- */

/* Memory for one row as it was hashed: drive id, key, header and file without the seal between them. */
typedef struct {
    uint8_t *at;
    uint64_t room;
} scratch;

static int sealed_well(span drive, span full, span value, scratch s)
{
    uint64_t size = (uint64_t)drive.size + full.size + 2 + value.size - SEAL;
    uint8_t *at = s.at, seal[SEAL];
    xxh128 hash;

    if (size <= LONG_HASH || size > s.room)
        return 0;
    memcpy(at, drive.at, drive.size);
    at += drive.size;
    *at++ = 0;
    memcpy(at, full.at, full.size);
    at += full.size;
    *at++ = 0;
    memcpy(at, value.at, HEADER);
    memcpy(at + HEADER, value.at + HEADER + SEAL, value.size - HEADER - SEAL);
    hash = dt_xxh3_128(s.at, size);
    for (int i = 0; i < 8; i++) {
        seal[i] = (uint8_t)(hash.high >> (56 - 8 * i));
        seal[8 + i] = (uint8_t)(hash.low >> (56 - 8 * i));
    }
    return !memcmp(seal, value.at + HEADER, SEAL);
}

/* 1 if the row is done with: its versions are written, or it is sound and has none to show. */
static int export_row(writer *w, span drive, span full, span value, scratch s)
{
    const uint8_t *h = value.at, *end = full.size ? memchr(full.at, 0, full.size) : NULL;
    span bucket, key, file;

    if (!end || value.size < HEADER + SEAL || memcmp(h, "DR", 2) || h[2] != ENVELOPE_SCHEMA || h[4] < 1
        || h[4] > ORIGINS || h[5] > NAMES || (h[3] != PRESENT && h[3] != TOMBSTONE)
        || big(h + LENGTH_AT, 4) != value.size - HEADER - SEAL || !sealed_well(drive, full, value, s))
        return 0;
    if (h[3] == TOMBSTONE || full.at[0] == '.')
        return 1;
    bucket = (span){full.at, (uint32_t)(end - full.at)};
    key = (span){end + 1, full.size - bucket.size - 1};
    file = (span){value.at + HEADER + SEAL, value.size - HEADER - SEAL};
    return put_file(w, bucket, key, file);
}

/* `count` rows lie in `rows` one behind the other, full key and value; `sizes` has the two lengths of each. Writes
 * the lines of as many as it can, from number `first` on, which begins at `*start`; returns the number after the
 * last of these. It ends before a row that Python has to read, and before one that does not fit into `out`. */
EXPORTED uint32_t dt_export(const uint8_t *drive, uint32_t drive_size, const uint8_t *rows, uint64_t rows_size,
                            const uint32_t *sizes, uint32_t count, uint32_t first, uint64_t *start,
                            uint8_t *hashing, uint64_t hashing_room, uint8_t *out, uint64_t room, uint64_t *used)
{
    writer w = {out, out + room, 0, 0};
    uint64_t at = *start;
    uint32_t next = first;

    for (; next < count; next++) {
        uint32_t full_size = sizes[2 * next], value_size = sizes[2 * next + 1];
        uint8_t *before = w.at;

        if (at > rows_size || (uint64_t)full_size + value_size > rows_size - at)
            break;
        if (!export_row(&w, (span){drive, drive_size}, (span){rows + at, full_size},
                        (span){rows + at + full_size, value_size}, (scratch){hashing, hashing_room})) {
            w.at = before;
            break;
        }
        at += (uint64_t)full_size + value_size;
    }
    *start = at;
    *used = (uint64_t)(w.at - out);
    return next;
}
