/* The yardstick of the benchmarks: one thread that walks a drive's bucket and reads every xl.meta, no more.
 *
 *     scan DIR...        prints "files bytes directories"
 *
 * It does what any careful walker does: every directory is opened relative to its parent and read to its end,
 * types come from the directory entries, a file is opened (O_NOFOLLOW, O_NOATIME), read until it ends, closed.
 * Nothing is decoded, kept or written.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long files, bytes, directories;
static char buffer[1 << 20];

static void fail(const char *what)
{
    fprintf(stderr, "scan: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_file(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        fail(name);
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        bytes += (unsigned long)got;
    if (got < 0)
        fail(name);
    close(fd);
    files++;
}

static void walk(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir)
        fail(name);
    directories++;
    while ((entry = readdir(dir))) {
        if (entry->d_type == DT_DIR) {
            if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                walk(fd, entry->d_name);
        } else if (!strcmp(entry->d_name, "xl.meta")) {
            read_file(fd, entry->d_name);
        }
    }
    closedir(dir);
}

int main(int count, char **names)
{
    for (int i = 1; i < count; i++)
        walk(AT_FDCWD, names[i]);
    printf("%lu %lu %lu\n", files, bytes, directories);
    return 0;
}
