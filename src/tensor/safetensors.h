/*
 * safetensors.h - reads and writes safetensors files, the format every ML library reads.
 *
 * Reading refuses all that the reference implementation (huggingface/safetensors, Rust) refuses,
 * and more: duplicate keys, names and ranks over the limits of layout.h. Writing is canonical:
 * equal models and metadata give equal bytes. Not here: durability (store/).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "tensor/layout.h"

#include <stddef.h>
#include <stdint.h>

enum {
    SAFETENSORS_HEADER_MAX = 32 * 1024 * 1024, /* bytes of JSON; the reference allows 100 MB */
    SAFETENSORS_METADATA_MAX = 1024,           /* pairs */
};

/* One entry of `__metadata__`: UTF-8 strings, with a zero at their end (zero bytes are refused). */
struct safetensors_pair {
    const char *key;
    const char *value;
};

/* An open file; immutable, so any number of threads may read it. */
struct safetensors {
    const struct layout *layout; /* owned by this */
    const uint8_t *const *data;  /* u8*[tensor_count]: tensors[i].size bytes, any alignment */
    const struct safetensors_pair *metadata; /* ascending by the bytes of their keys */
    uint32_t metadata_count;
};

/*
 * Reads a file that lies in memory; file must stay as it is until the close. data points into it.
 *
 * CORRUPT: not a valid file; the text names the tensor and what is wrong. LIMIT: valid perhaps, but
 * over a limit. NO_MEMORY. The caller closes what it gets. err may be null.
 */
[[nodiscard]] enum status safetensors_open(struct slice file, struct safetensors **ret_file,
                                           struct error *err);

/*
 * The same for a file on disk, which is mapped read-only. Who may shorten the file while it is open
 * can kill this process by SIGBUS: copy what others can write to.
 * NOT_FOUND, IO, INVAL (not a regular file), and those of safetensors_open. Blocks.
 */
[[nodiscard]] enum status safetensors_open_file(const char *path, struct safetensors **ret_file,
                                                struct error *err);

/* Frees the layout too, and unmaps. Null is allowed. */
void safetensors_close(struct safetensors *file);

/*
 * Copies bytes [data, data + size) of the tensors without mapping their pages: for files larger
 * than the memory one may take. As memcpy where the caller owns the bytes. Blocks.
 */
void safetensors_read(const struct safetensors *file, const void *data, size_t size,
                      void *ret_data);

/* Copies all tensors into ret_data, layout->bytes bytes, in the order of the layout. */
void safetensors_copy(const struct safetensors *file, void *ret_data);

/*
 * Appends the header of a file, so that the file is this and then the flat data in the order of the
 * layout. The size of the header is a multiple of 8 (padded with spaces).
 *
 * metadata  pair[metadata_count], strictly ascending by key; may be null when there are none.
 *
 * INVAL: metadata not ascending or not UTF-8. LIMIT: too much of it, or of names, for
 * SAFETENSORS_HEADER_MAX or for ret_header. NO_MEMORY. ret_header is unchanged on failure.
 */
[[nodiscard]] enum status safetensors_encode_header(const struct layout *layout,
                                                    const struct safetensors_pair *metadata,
                                                    uint32_t metadata_count,
                                                    struct bytes *ret_header, struct error *err);

/*
 * Writes a file, replacing what is there; neither atomic nor durable (store/ is). On failure no
 * file is left. data: layout->bytes bytes. IO, NO_SPACE and the errors of the header. Blocks.
 */
[[nodiscard]] enum status safetensors_write_file(const char *path, const struct layout *layout,
                                                 const struct safetensors_pair *metadata,
                                                 uint32_t metadata_count, const void *data,
                                                 struct error *err);
