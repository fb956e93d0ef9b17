/*
 * dtype.h - the element types of tensors: their pinned ids, names and sizes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * id, name in safetensors files, bytes an element. The ids enter digests: never renumber them.
 * The names are those of safetensors 0.4.
 */
#define DTYPE_LIST(X)                                                                              \
    X(1, BOOL, 1)                                                                                  \
    X(2, U8, 1)                                                                                    \
    X(3, I8, 1)                                                                                    \
    X(4, F8_E5M2, 1)                                                                               \
    X(5, F8_E4M3, 1)                                                                               \
    X(6, I16, 2)                                                                                   \
    X(7, U16, 2)                                                                                   \
    X(8, F16, 2)                                                                                   \
    X(9, BF16, 2)                                                                                  \
    X(10, I32, 4)                                                                                  \
    X(11, U32, 4)                                                                                  \
    X(12, F32, 4)                                                                                  \
    X(13, F64, 8)                                                                                  \
    X(14, I64, 8)                                                                                  \
    X(15, U64, 8)

enum dtype {
    DTYPE_NONE = 0,
#define X(id, name, size) DTYPE_##name = (id),
    DTYPE_LIST(X)
#undef X
};

/* Bytes of one element, 1 to 8; 0 for what is no element type. */
uint32_t dtype_size(enum dtype dtype);

/* The name in safetensors files ("F32"), static; "?" for what is no element type. */
const char *dtype_name(enum dtype dtype);

/* The type of that name (size bytes, no zero needed), DTYPE_NONE where there is none. */
enum dtype dtype_find(const char *name, size_t size);
