/* JSON as Python's encoder writes it by default: nothing but ASCII, `\u` for the rest, no spaces. */
#ifndef DUALTRACK_JSON_H
#define DUALTRACK_JSON_H

#include "msgpack.h"

/* Where writing stands. `full`: it did not fit. `odd`: a text that is no UTF-8. After either nothing of what was
 * begun may be used. */
typedef struct {
    uint8_t *at, *end;
    int full, odd;
} writer;

void dt_put(writer *w, const void *bytes, size_t size);
void dt_put_text(writer *w, span text);
void dt_put_int(writer *w, int64_t value);
/* Nanoseconds since 1970 as RFC 3339 in UTC, nine digits of a second, in quotation marks. */
void dt_put_time(writer *w, int64_t nanoseconds);

#define PUT(w, literal) dt_put((w), (literal), sizeof(literal) - 1)

#endif
