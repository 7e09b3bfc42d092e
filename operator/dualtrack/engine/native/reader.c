/* Many `xl.meta` of one directory, read, checked, summarised and sealed into rows in one call.
 *
 * What Python does object by object (`metafile.py`, `formats/`, `summary.py`, `stores/envelope.py`), for the
 * usual case and with the same result to the byte; `native/library.py` says what holds the two together. Whatever
 * is unusual (an error of the system, a file that changes while it is read, a form that `meta.c` does not
 * understand) comes back as ASK, and Python reads the file itself.
 *
 * Nothing is written but the caller's memory, and nothing is kept between two calls. */
#define _GNU_SOURCE
#include "reader.h"

#include "meta.h"
#include "xxh.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INTERFACE = 5, FROM_FILE = 1 };

/* What a caller was built against. Numbers that the two sides do not share end the use of this library. */
EXPORTED uint32_t dt_interface(void)
{
    return INTERFACE << 16 | ENVELOPE_SCHEMA << 8 | SUMMARY_SCHEMA;
}

EXPORTED uint64_t dt_test_xxh64(const uint8_t *data, size_t size) { return dt_xxh64(data, size); }
EXPORTED uint64_t dt_test_xxh3_64(const uint8_t *data, size_t size) { return dt_xxh3_64(data, size); }

EXPORTED void dt_test_xxh3_128(const uint8_t *data, size_t size, uint64_t out[2])
{
    xxh128 hash = dt_xxh3_128(data, size);

    out[0] = hash.high;
    out[1] = hash.low;
}

static size_t join(char *path, const char *name, const char *file)
{
    size_t size = strlen(name), more = strlen(file) + 1;

    if (size > NAME_MAX)
        return 0;
    memcpy(path, name, size);
    path[size] = '/';
    memcpy(path + size + 1, file, more);
    return size + more;
}

/* What a directory without an `xl.meta` is. With an `xl.json` it is an old object, and a server may be renaming
 * the one to the other between two looks: both are Python's to read. */
static uint32_t without_meta(int directory, const char *name)
{
    static const char *const files[] = {"xl.json", "xl.meta"};
    char path[NAME_MAX + 16];
    struct stat status;

    for (int i = 0; i < 2; i++)
        if (!join(path, name, files[i]) || !fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW)
            || (errno != ENOENT && errno != ENOTDIR))
            return ASK;
    return ABSENT;
}

static int open_meta(int directory, const char *name, int *no_atime)
{
    enum { FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };
    char path[NAME_MAX + 16];
    int fd;

    if (!join(path, name, "xl.meta")) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = openat(directory, path, FLAGS | *no_atime);
    if (fd < 0 && errno == EPERM && *no_atime) {
        fd = openat(directory, path, FLAGS);
        if (fd >= 0)
            *no_atime = 0;
    }
    return fd;
}

static int same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
        && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec
        && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The bytes of a file that stayed the same while it was read: 1, or 0 with anything else, or -1 if it would
 * not fit into `room`. */
static int read_stable(int fd, uint8_t *into, size_t room, struct stat *status)
{
    struct stat after;
    size_t size, got = 0;
    ssize_t part;

    if (fstat(fd, status) || !S_ISREG(status->st_mode))
        return 0;
    size = (size_t)status->st_size;
    if (size + 1 > room)
        return -1;
    /* One byte more than expected, so that a file that grew is noticed by its length, too. */
    do {
        part = read(fd, into + got, size + 1 - got);
        got += part > 0 ? (size_t)part : 0;
    } while (part > 0 && got < size);
    return part >= 0 && got == size && !fstat(fd, &after) && same(status, &after);
}

static uint8_t *put(uint8_t *at, uint64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--, value >>= 8)
        at[i] = (uint8_t)value;
    return at + width;
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)((int64_t)time.tv_sec * 1000000000 + time.tv_nsec);
}

static void put_header(uint8_t *at, const job *j, const struct stat *s, uint64_t check, uint32_t versions)
{
    static const uint8_t first[6] = {'D', 'R', ENVELOPE_SCHEMA, PRESENT, FROM_FILE, 0};

    memcpy(at, first, sizeof first);
    at = put(at + sizeof first, j->term, 4);
    at = put(at, j->counter, 8);
    at = put(at, s->st_ino, 8);
    at = put(at, (uint64_t)s->st_size, 8);
    at = put(at, nanoseconds(s->st_mtim), 8);
    at = put(at, nanoseconds(s->st_ctim), 8);
    at = put(at, s->st_mode & 07777, 4);
    at = put(at, s->st_uid, 4);
    at = put(at, s->st_gid, 4);
    at = put(at, nanoseconds(s->st_mtim), 8);
    at = put(at, check, 8);
    at = put(at, versions, 4);
    put(at, (uint64_t)s->st_size, 4);
}

/* The full key of the object in `name` behind the prefix; returns its end. A directory object's suffix stands
 * for a slash. */
static uint8_t *put_key(uint8_t *at, const job *j, const char *name)
{
    static const char suffix[] = "__XLDIR__";
    size_t size = strlen(name), cut = sizeof suffix - 1;

    memcpy(at, j->prefix, j->prefix_size);
    at += j->prefix_size;
    memcpy(at, name, size);
    if (size >= cut && !memcmp(name + size - cut, suffix, cut)) {
        at[size - cut] = '/';
        size -= cut - 1;
    }
    return at + size;
}

/* False only where the object's directory surely has no subdirectory but data directories of its versions:
 * its link count is 2 and one for each of those that are there. */
static uint32_t may_have_children(int directory, const char *name, const job *j, const understood *u)
{
    char path[NAME_MAX + 40];
    struct stat status;
    size_t length = strlen(name);
    nlink_t known = 2;

    if (!j->trust_links || fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW))
        return 1;
    if (status.st_nlink == 2)
        return 0;
    if (u->data_dirs <= 0)
        return 1;
    memcpy(path, name, length);
    path[length] = '/';
    for (int i = 0; i < u->data_dirs; i++) {
        struct stat part;

        dt_uuid_text(u->data_dir[i], path + length + 1);
        if (!fstatat(directory, path, &part, AT_SYMLINK_NOFOLLOW) && S_ISDIR(part.st_mode))
            known++;
    }
    return status.st_nlink != known;
}

size_t dt_seal_one(int directory, const char *name, const job *j, int *no_atime, uint8_t *arena, size_t at,
                   size_t room, item *out)
{
    understood u;
    struct stat status;
    size_t key_room = j->prefix_size + strlen(name) + 1, hashed, size;
    uint8_t *begin = arena + at, *header, *data, *entry;
    uint64_t check;
    xxh128 seal;
    int fd, read;

    memset(out, 0, sizeof *out);
    out->state = ASK;
    if (at + key_room + HEADER + SEAL + CHECK + SUMMARY_ROOM > room)
        return NO_ROOM;
    fd = open_meta(directory, name, no_atime);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            out->state = without_meta(directory, name);
        return at;
    }
    header = put_key(begin, j, name);
    *header++ = 0;
    data = header + HEADER;
    read = read_stable(fd, data, room - (size_t)(data - arena) - SEAL - CHECK - SUMMARY_ROOM, &status);
    close(fd);
    if (read < 0)
        return NO_ROOM;
    size = (size_t)status.st_size;
    if (!read || !dt_understand(data, size, (int)j->trust_links, &u) || u.summary_size > HEADER)
        return at;
    out->may_have_children = may_have_children(directory, name, j, &u);

    entry = data + size + SEAL;
    /* The check goes over drive id, key and summary: the summary is put behind the key for that. */
    memcpy(header, u.summary, u.summary_size);
    check = dt_xxh3_64(begin, (size_t)(header - begin) + u.summary_size);
    put_header(header, j, &status, check, u.versions);
    hashed = (size_t)(data - begin) + size;
    if (hashed <= 240)
        return at;
    seal = dt_xxh3_128(begin, hashed);
    memmove(data + SEAL, data, size);
    put(put(data, seal.high, 8), seal.low, 8);
    memcpy(put(entry, check, 8), u.summary, u.summary_size);

    out->state = SEALED;
    out->versions = u.versions;
    out->full_at = (uint32_t)at + j->full_at;
    out->full_size = (uint32_t)(header - 1 - begin) - j->full_at;
    out->value_at = (uint32_t)(header - arena);
    out->value_size = (uint32_t)(HEADER + SEAL + size);
    out->entry_at = (uint32_t)(entry - arena);
    out->entry_size = CHECK + u.summary_size;
    return (size_t)(entry - arena) + CHECK + u.summary_size;
}
