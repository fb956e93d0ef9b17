/*
 * model_file.h - a model as it is announced, pulled and kept: one safetensors file in memory with
 * its digests, counted references.
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "tensor/layout.h"

struct model_file {
    struct model_file *next; /* the owner's, for a list */
    uint32_t references;
    uint8_t *bytes; /* the whole file */
    size_t size;
    size_t data_offset; /* where the flat data begins; a multiple of 8 */
    uint64_t parameter_count;
    struct digest model_digest;
    struct digest blob_digest;
};

/*
 * A file with room for the parameters of a layout (all F32) and one reference, the caller's. Fill
 * model_file_parameters, then seal it. NO_MEMORY.
 */
[[nodiscard]] enum status model_file_create(const struct layout *layout,
                                            struct model_file **ret_file);

/* Computes the digests. NO_MEMORY. */
[[nodiscard]] enum status model_file_seal(struct model_file *file, const struct layout *layout);

/*
 * Takes size bytes (malloc's; freed here also on error) that were stored or received: checked to be
 * a safetensors file of just this layout. CORRUPT with what differs.
 */
[[nodiscard]] enum status model_file_adopt(uint8_t *bytes, size_t size, const struct layout *layout,
                                           struct model_file **ret_file, struct error *err);

/* f32[parameter_count] in the order of the layout. */
static inline float *model_file_parameters(const struct model_file *file)
{
    return (float *)(void *)(file->bytes + file->data_offset);
}

struct model_file *model_file_ref(struct model_file *file);
void model_file_unref(struct model_file *file); /* null is allowed */

/* Puts file, whose reference it takes over, in the place of another; null is allowed for both. */
void model_file_replace(struct model_file **place, struct model_file *file);
