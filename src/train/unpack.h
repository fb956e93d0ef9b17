/*
 * unpack.h - a gzip file made plain, so that many processes can read it without unpacking it each.
 */
#pragma once

#include "base/status.h"

/*
 * Writes what the gzip file from holds to a new file; a plain file is copied. What is there under
 * that name is replaced.
 *
 * IO, NO_SPACE, NO_MEMORY; CORRUPT where from is damaged (its checksum is compared). After an error
 * there is no file.
 */
[[nodiscard]] enum status unpack_gzip(const char *from, const char *to, struct error *err);
