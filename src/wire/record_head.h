/*
 * record_head.h - the head of a commit record in bytes. Only for this layer.
 */
#pragma once

#include "wire/record.h"

/*
 * Appends the head as the first field of a CommitRecord. INVAL for what record_head_decode would
 * refuse; aborts where the parameters are not sorted. Nothing is appended on error.
 */
[[nodiscard]] enum status record_head_encode(const struct record_head *head, struct bytes *out,
                                             struct error *err);

/* Reads and checks a RecordHead. VERSION, CORRUPT, NO_MEMORY. */
[[nodiscard]] enum status record_head_decode(struct slice input, struct record_head *ret_head,
                                             struct error *err);
