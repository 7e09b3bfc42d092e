#include "xxh.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the native reader is for little-endian machines; the engine works without it"
#endif

#define P32_1 0x9E3779B1U
#define P32_2 0x85EBCA77U
#define P32_3 0xC2B2AE3DU
#define P64_1 0x9E3779B185EBCA87ULL
#define P64_2 0xC2B2AE3D27D4EB4FULL
#define P64_3 0x165667B19E3779F9ULL
#define P64_4 0x85EBCA77C2B2AE63ULL
#define P64_5 0x27D4EB2F165667C5ULL

enum { STRIPE = 64, STRIPES = 16, BLOCK = STRIPE * STRIPES, SECRET = 192, MIDDLE = 240 };

static const uint8_t secret[SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t load32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

/* --- XXH64 ---------------------------------------------------------------------------------------------- */

static inline uint64_t round64(uint64_t acc, uint64_t input)
{
    return rotate(acc + input * P64_2, 31) * P64_1;
}

static inline uint64_t merge64(uint64_t hash, uint64_t lane)
{
    return (hash ^ round64(0, lane)) * P64_1 + P64_4;
}

uint64_t dt_xxh64(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    uint64_t hash = P64_5;

    if (size >= 32) {
        uint64_t a = P64_1 + P64_2, b = P64_2, c = 0, d = 0 - P64_1;

        for (; end - data >= 32; data += 32) {
            a = round64(a, load64(data));
            b = round64(b, load64(data + 8));
            c = round64(c, load64(data + 16));
            d = round64(d, load64(data + 24));
        }
        hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
        hash = merge64(merge64(merge64(merge64(hash, a), b), c), d);
    }
    hash += size;
    for (; end - data >= 8; data += 8)
        hash = rotate(hash ^ round64(0, load64(data)), 27) * P64_1 + P64_4;
    if (end - data >= 4) {
        hash = rotate(hash ^ load32(data) * P64_1, 23) * P64_2 + P64_3;
        data += 4;
    }
    for (; data < end; data++)
        hash = rotate(hash ^ *data * P64_5, 11) * P64_1;
    hash = (hash ^ hash >> 33) * P64_2;
    hash = (hash ^ hash >> 29) * P64_3;
    return hash ^ hash >> 32;
}

/* --- XXH3 ----------------------------------------------------------------------------------------------- */

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t avalanche(uint64_t hash)
{
    hash = (hash ^ hash >> 37) * 0x165667919E3779F9ULL;
    return hash ^ hash >> 32;
}

static inline uint64_t mix16(const uint8_t *data, const uint8_t *key)
{
    return fold(load64(data) ^ load64(key), load64(data + 8) ^ load64(key + 8));
}

static inline void accumulate(uint64_t acc[8], const uint8_t *data, const uint8_t *key)
{
    for (int i = 0; i < 8; i++) {
        uint64_t value = load64(data + 8 * i), keyed = value ^ load64(key + 8 * i);

        acc[i ^ 1] += value;
        acc[i] += (keyed & 0xFFFFFFFF) * (keyed >> 32);
    }
}

static void digest_long(uint64_t acc[8], const uint8_t *data, size_t size)
{
    static const uint64_t start[8] = {P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1};
    const uint8_t *last = data + size - STRIPE;
    size_t left = size - 1;

    memcpy(acc, start, sizeof start);
    for (; left >= BLOCK; left -= BLOCK, data += BLOCK) {
        for (int i = 0; i < STRIPES; i++)
            accumulate(acc, data + STRIPE * i, secret + 8 * i);
        for (int i = 0; i < 8; i++)
            acc[i] = (acc[i] ^ acc[i] >> 47 ^ load64(secret + SECRET - STRIPE + 8 * i)) * P32_1;
    }
    for (size_t i = 0; i < left / STRIPE; i++)
        accumulate(acc, data + STRIPE * i, secret + 8 * i);
    accumulate(acc, last, secret + SECRET - STRIPE - 7);
}

static uint64_t merge(const uint64_t acc[8], const uint8_t *key, uint64_t start)
{
    for (int i = 0; i < 4; i++)
        start += fold(acc[2 * i] ^ load64(key + 16 * i), acc[2 * i + 1] ^ load64(key + 16 * i + 8));
    return avalanche(start);
}

uint64_t dt_xxh3_64(const uint8_t *data, size_t size)
{
    uint64_t acc[8], hash = size * P64_1;

    if (size > MIDDLE) {
        digest_long(acc, data, size);
        return merge(acc, secret + 11, hash);
    }
    if (size <= 128) {
        for (int i = (int)(size - 1) / 32; i >= 0; i--) {
            hash += mix16(data + 16 * i, secret + 32 * i);
            hash += mix16(data + size - 16 * (i + 1), secret + 32 * i + 16);
        }
        return avalanche(hash);
    }
    for (size_t i = 0; i < 8; i++)
        hash += mix16(data + 16 * i, secret + 16 * i);
    hash = avalanche(hash);
    for (size_t i = 8; i < size / 16; i++)
        hash += mix16(data + 16 * i, secret + 16 * (i - 8) + 3);
    return avalanche(hash + mix16(data + size - 16, secret + 136 - 17));
}

xxh128 dt_xxh3_128(const uint8_t *data, size_t size)
{
    uint64_t acc[8];
    xxh128 hash;

    digest_long(acc, data, size);
    hash.low = merge(acc, secret + 11, size * P64_1);
    hash.high = merge(acc, secret + SECRET - STRIPE - 11, ~(size * P64_2));
    return hash;
}
