/*
 * ca_show.h - what certificates say, for a person.
 *
 * Nothing is verified here: a certificate is shown as it is.
 */
#pragma once

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>

/*
 * Writes what the certificates in path say: name, key, dates, digests.
 *
 * path        a file of certificates in PEM, or the folder of an identity or of an authority.
 * now_unix_s  to say how long each is still valid.
 *
 * NOT_FOUND, INVAL where there is no certificate, LIMIT, IO, NO_MEMORY.
 */
[[nodiscard]] enum status ca_show(const char *path, int64_t now_unix_s, FILE *out,
                                  struct error *err);
