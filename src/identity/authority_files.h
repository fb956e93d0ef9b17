/*
 * authority_files.h - the inside of the authority: the names of its files.
 *
 * Callers use authority.h.
 */
#pragma once

#include "identity/authority.h"

/* The first line of FORMAT; the second is the trust domain's name after AUTHORITY_FORMAT_DOMAIN. */
#define AUTHORITY_FORMAT_NAME   "fedra-authority "
#define AUTHORITY_FORMAT_FIRST  "fedra-authority 1\n"
#define AUTHORITY_FORMAT_DOMAIN "trust-domain "

#define AUTHORITY_FILE_FORMAT   "FORMAT"
#define AUTHORITY_FILE_BUNDLE   "bundle.pem"

/* The files of one root, in the order of enum identity_key_kind. */
struct authority_root_files {
    const char *key;
    const char *certificate;
    const char *algorithm;   /* OpenSSL's name of it */
    const char *common_name; /* in the certificate */
};

enum { AUTHORITY_ROOTS = 2 };

extern const struct authority_root_files authority_root_files[AUTHORITY_ROOTS];
