/*
 * safetensors_header.h - the JSON header of a safetensors file, read into plain entries. For
 * safetensors.c only.
 *
 * Not here: whether the entries cover the data (safetensors.c).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "tensor/safetensors.h"

/* Where a tensor's bytes are: [begin, end) of the file's data. */
struct header_range {
    const char *name; /* in the JSON document, name_size bytes and a zero */
    size_t name_size;
    uint64_t begin;
    uint64_t end;
};

struct header {
    struct layout *layout;
    struct header_range *ranges; /* range[layout->tensor_count], in the order of the JSON text */
    struct safetensors_pair *metadata; /* ascending by key; the strings lie in document */
    uint32_t metadata_count;
    void *document; /* yyjson_doc, owns the strings */
};

/*
 * Reads the JSON text. Checks everything but that the ranges lie in the data and tile it; that each
 * range has the size of its tensor is checked here. CORRUPT, LIMIT, NO_MEMORY; ret_header needs no
 * deinit then.
 */
[[nodiscard]] enum status header_read(struct slice json, struct header *ret_header,
                                      struct error *err);
void header_deinit(struct header *header);
