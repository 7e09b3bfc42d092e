#define _POSIX_C_SOURCE 200809L
#include "json.h"

#include <string.h>
#include <time.h>

static const char digits[] = "0123456789abcdef";

void dt_put(writer *w, const void *bytes, size_t size)
{
    if (w->full || size > (size_t)(w->end - w->at)) {
        w->full = 1;
        return;
    }
    memcpy(w->at, bytes, size);
    w->at += size;
}

static void put_unit(writer *w, uint32_t unit)
{
    char text[6] = {'\\', 'u', digits[unit >> 12], digits[unit >> 8 & 15], digits[unit >> 4 & 15], digits[unit & 15]};

    dt_put(w, text, sizeof text);
}

/* One character beyond ASCII; its length, or 0 where the bytes are no UTF-8: cut off, longer than need be, a
 * surrogate, beyond U+10FFFF. */
static uint32_t put_wide(writer *w, const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t size = at[0] < 0xC0 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : at[0] < 0xF8 ? 4 : 0;
    uint32_t code;

    if (!size || size > left)
        return 0;
    code = at[0] & (0xFFU >> (size + 1));
    for (uint32_t i = 1; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3F);
    }
    if (code < least[size] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return 0;
    if (code >= 0x10000) {
        put_unit(w, 0xD800 + ((code - 0x10000) >> 10));
        code = 0xDC00 + (code & 0x3FF);
    }
    put_unit(w, code);
    return size;
}

static int plain(uint8_t byte)
{
    return byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
}

/* One byte of ASCII that does not stand for itself. */
static void put_escaped(writer *w, uint8_t byte)
{
    static const char short_form[] = "\bb\tt\nn\ff\rr\"\"\\\\";

    for (const char *form = short_form; *form; form += 2) {
        if ((uint8_t)form[0] == byte) {
            char text[2] = {'\\', form[1]};

            dt_put(w, text, sizeof text);
            return;
        }
    }
    put_unit(w, byte);
}

void dt_put_text(writer *w, span text)
{
    uint32_t done = 0;

    PUT(w, "\"");
    while (done < text.size && !w->full && !w->odd) {
        uint32_t end = done;

        while (end < text.size && plain(text.at[end]))
            end++;
        dt_put(w, text.at + done, end - done);
        if (end < text.size && text.at[end] < 0x80) {
            put_escaped(w, text.at[end++]);
        } else if (end < text.size) {
            uint32_t size = put_wide(w, text.at + end, text.size - end);

            w->odd |= !size;
            end += size;
        }
        done = end;
    }
    PUT(w, "\"");
}

void dt_put_int(writer *w, int64_t value)
{
    uint8_t text[20], *at = text + sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do
        *--at = (uint8_t)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--at = '-';
    dt_put(w, at, (size_t)(text + sizeof text - at));
}

/* `width` digits and what stands behind them. */
static uint8_t *decimal(uint8_t *at, int64_t value, int width, char behind)
{
    for (int i = width - 1; i >= 0; i--, value /= 10)
        at[i] = (uint8_t)('0' + value % 10);
    at[width] = (uint8_t)behind;
    return at + width + 1;
}

void dt_put_time(writer *w, int64_t nanoseconds)
{
    static const int64_t second = 1000000000;
    int64_t fraction = nanoseconds % second;
    time_t seconds = (time_t)(nanoseconds / second);
    uint8_t text[32], *at = text;
    struct tm utc;

    if (fraction < 0) {
        fraction += second;
        seconds--;
    }
    if (!gmtime_r(&seconds, &utc)) {
        w->odd = 1;
        return;
    }
    *at++ = '"';
    at = decimal(at, utc.tm_year + 1900, 4, '-');
    at = decimal(at, utc.tm_mon + 1, 2, '-');
    at = decimal(at, utc.tm_mday, 2, 'T');
    at = decimal(at, utc.tm_hour, 2, ':');
    at = decimal(at, utc.tm_min, 2, ':');
    at = decimal(at, utc.tm_sec, 2, '.');
    at = decimal(at, fraction, 9, 'Z');
    *at++ = '"';
    dt_put(w, text, (size_t)(at - text));
}
