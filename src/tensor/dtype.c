/*
 * dtype.c - the table of element types.
 */
#include "tensor/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t size;
} dtypes[] = {
#define X(id, name, size) [id] = {#name, size},
    DTYPE_LIST(X)
#undef X
};

enum { DTYPE_COUNT = sizeof(dtypes) / sizeof(dtypes[0]) };

uint32_t dtype_size(enum dtype dtype)
{
    return (uint32_t)dtype < DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *dtype_name(enum dtype dtype)
{
    return dtype_size(dtype) > 0 ? dtypes[dtype].name : "?";
}

enum dtype dtype_find(const char *name, size_t size)
{
    for (uint32_t i = 1; i < DTYPE_COUNT; i++) {
        if (strlen(dtypes[i].name) == size && memcmp(dtypes[i].name, name, size) == 0)
            return (enum dtype)i;
    }
    return DTYPE_NONE;
}
