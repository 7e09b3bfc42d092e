/* The subdirectories of a directory: what a walk needs before it reads the objects in them. */
#define _GNU_SOURCE
#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNUSUAL = 1, TOO_LARGE = 2 };

struct linux_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The subdirectories of an open directory, in byte order, each name with its NUL, into `names`.
 *
 * Returns their number, or -1 with errno. `flags`: UNUSUAL (a link, an entry whose type the file system does not
 * tell) and TOO_LARGE mean that Python has to list the directory. `used` is the length of the names. */
EXPORTED int64_t dt_list(int directory, char *names, size_t room, uint32_t *flags, uint64_t *used)
{
    static const size_t chunk = 64 * 1024;
    char *entries = malloc(chunk), *unsorted = malloc(room);
    const char **order = NULL;
    size_t filled = 0, count = 0, end = 0;
    long got = -1;

    *flags = 0;
    *used = 0;
    if (!entries || !unsorted)
        goto done;
    while ((got = syscall(SYS_getdents64, directory, entries, chunk)) > 0) {
        for (long at = 0; at < got;) {
            struct linux_dirent64 *entry = (struct linux_dirent64 *)(entries + at);
            size_t size = strlen(entry->name) + 1;

            at += entry->size;
            if (entry->type == DT_DIR) {
                if (!strcmp(entry->name, ".") || !strcmp(entry->name, ".."))
                    continue;
                if (filled + size > room) {
                    *flags |= TOO_LARGE;
                    goto done;
                }
                memcpy(unsorted + filled, entry->name, size);
                filled += size;
                count++;
            } else if (entry->type == DT_LNK || entry->type == DT_UNKNOWN) {
                *flags |= UNUSUAL;
            }
        }
    }
    if (got < 0)
        goto done;
    order = malloc((count + 1) * sizeof *order);
    if (!order) {
        got = -1;
        goto done;
    }
    for (size_t i = 0, at = 0; i < count; i++, at += strlen(unsorted + at) + 1)
        order[i] = unsorted + at;
    qsort(order, count, sizeof *order, by_name);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(order[i]) + 1;

        memcpy(names + end, order[i], size);
        end += size;
    }
    *used = end;
done:;
    int failure = errno; /* of the listing, not of what tidies up after it */

    lseek(directory, 0, SEEK_SET); /* Python may have to list it again */
    free(order);
    free(unsorted);
    free(entries);
    errno = failure;
    return got < 0 && !(*flags & TOO_LARGE) ? -1 : (int64_t)count;
}
