/* memcmp() by words of 8 bytes. wasi-libc's goes byte by byte, and Python compares every two strings
   of one length with it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static int
order(uint64_t a, uint64_t b)
{
    /* The byte at the lowest address decides. */
    return __builtin_bswap64(a) < __builtin_bswap64(b) ? -1 : 1;
}

/* Not to be made a call of itself. */
__attribute__((no_builtin("memcmp", "bcmp"))) int
memcmp(const void *left, const void *right, size_t n)
{
    const unsigned char *a = left, *b = right;
    uint64_t x, y;
    if (n < 8) {
        for (; n; n--, a++, b++)
            if (*a != *b)
                return *a - *b;
        return 0;
    }
    for (;; a += 8, b += 8, n -= 8) {
        if (n < 8) { /* the last 8 bytes, some of them again */
            a -= 8 - n;
            b -= 8 - n;
            n = 8;
        }
        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if (x != y)
            return order(x, y);
        if (n == 8)
            return 0;
    }
}
