/* An encoder library that refuses: loaded by FFmpeg as libnvidia-encode.so.1, it knows the version in
 * REFUSES_VERSION (by default one that is new enough) and answers every call with the error in REFUSES_WITH. FFmpeg says
 * then what it says on a card that does no more encodes at once, or on one with an old driver.
 */
#include <stdint.h>
#include <stdlib.h>

enum { CALLS = 40 };

typedef struct { uint32_t version, reserved; int (*calls[CALLS])(void); } Functions;

static int number(const char *name, int otherwise)
{
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int refuse(void) { return number("REFUSES_WITH", 10); }

int NvEncodeAPIGetMaxSupportedVersion(uint32_t *version)
{
    *version = number("REFUSES_VERSION", 99) << 4;
    return 0;
}

int NvEncodeAPICreateInstance(Functions *functions)
{
    for (int call = 0; call < CALLS; call++)
        functions->calls[call] = refuse;
    return 0;
}
