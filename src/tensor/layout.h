/*
 * layout.h - what a model's parameters are: names, types, shapes, and where each lies in the flat
 * data; the digests of the description and of a model.
 *
 * A model in memory is a `const struct layout *` and one array of its tensors' bytes, one after
 * another in the order of the layout, without gaps. Not here: files (safetensors.h), how updates
 * travel (codec.h).
 */
#pragma once

#include "base/digest.h"
#include "base/status.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LAYOUT_TENSORS_MAX = 65536,
    LAYOUT_NAME_MAX = 255, /* bytes of a name, without its zero */
    LAYOUT_RANK_MAX = 8,
};

/* Bytes of a whole model: 1 TiB, so that sums of sizes never come near to overflowing. */
#define LAYOUT_BYTES_MAX (UINT64_C(1) << 40)

struct tensor {
    const char *name;   /* UTF-8 without zero bytes, and a zero; owned by the layout */
    uint32_t name_size; /* bytes, 0 to LAYOUT_NAME_MAX */
    enum dtype dtype;
    uint32_t rank;                   /* 0 (a scalar) to LAYOUT_RANK_MAX */
    uint64_t shape[LAYOUT_RANK_MAX]; /* the first rank are used, the others are 0 */
    uint64_t count;                  /* elements: the product of the shape, 1 for a scalar */
    uint64_t size;                   /* bytes: count * dtype_size */
    uint64_t offset;                 /* bytes from the start of the flat data */
};

/* Immutable once made, so any number of threads may read it. */
struct layout {
    const struct tensor *tensors; /* tensor[tensor_count], ascending by the bytes of their names */
    uint32_t tensor_count;
    uint64_t parameter_count; /* elements of all tensors */
    uint64_t bytes;           /* of all tensors */
    /*
     * Pinned: H("fedra/v1/layout\0" | for each tensor: u32le name size | name | u32le dtype id |
     * u32le rank | u64le dimension ...).
     */
    struct digest digest;
};

/* Collects tensors in any order. One thread at a time. */
struct layout_builder;

/* NO_MEMORY, else a new empty builder that the caller destroys. */
[[nodiscard]] enum status layout_builder_create(struct layout_builder **ret_builder);
void layout_builder_destroy(struct layout_builder *builder);

/*
 * Adds one tensor; everything is copied.
 *
 * name   name_size bytes of UTF-8 without zero bytes; not "__metadata__", which safetensors files
 *        reserve.
 * shape  u64[rank]; may be null when rank is 0. A dimension may be 0.
 *
 * INVAL: not such a name, or no such dtype. LIMIT: name, rank, count of tensors or bytes over what
 * this file allows. NO_MEMORY. The builder is unchanged then. err may be null.
 */
[[nodiscard]] enum status layout_builder_add(struct layout_builder *builder, const char *name,
                                             size_t name_size, enum dtype dtype, uint32_t rank,
                                             const uint64_t *shape, struct error *err);

/*
 * Sorts, and gives the layout, which the caller destroys. The builder is empty afterwards, also on
 * failure. EXISTS: two tensors of one name. NO_MEMORY. err may be null.
 */
[[nodiscard]] enum status layout_builder_finish(struct layout_builder *builder,
                                                struct layout **ret_layout, struct error *err);

/* Null is allowed. */
void layout_destroy(struct layout *layout);

/* Whether both describe the same tensors (their digests are equal). */
bool layout_equal(const struct layout *a, const struct layout *b);

/* Where the tensor of that name is in layout->tensors; false where there is none. */
bool layout_find(const struct layout *layout, const char *name, size_t name_size,
                 uint32_t *ret_index);

/* Whether every tensor is F32: the flat data is then f32[parameter_count]. */
bool layout_is_f32(const struct layout *layout);

/*
 * The pinned digest of a model: H("fedra/v1/model\0" | for each tensor: what the layout's digest
 * takes of it | its bytes). Never of file metadata.
 *
 * data  layout->bytes bytes in the order of the layout, little-endian elements.
 *
 * NO_MEMORY only.
 */
[[nodiscard]] enum status model_digest(const struct layout *layout, const void *data,
                                       struct digest *ret_digest);
