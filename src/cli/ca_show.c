/*
 * ca_show.c - what certificates say, for a person.
 *
 * Text from a certificate is escaped: the file may be anybody's.
 */
#include "cli/ca_show.h"

#include "base/text.h"
#include "identity/svid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SHOWN_MAX = 1100 /* a SPIFFE ID may have 255 bytes, each at most four when escaped */ };

static enum status read_whole(const char *path, struct bytes *content, struct error *err)
{
    uint8_t piece[4096];
    enum status status = STATUS_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               path);
    while (status == STATUS_OK) {
        const ssize_t size = read(fd, piece, sizeof piece);
        if (size == 0)
            break;
        if (size > 0)
            status = bytes_append(content, piece, (size_t)size);
        else if (errno != EINTR)
            status = error_set_errno(err, STATUS_IO, errno, "%s", path);
    }
    close(fd);
    if (status == STATUS_LIMIT)
        error_set(err, status, "%s has more than %zu bytes", path, content->size_max);
    else if (status == STATUS_NO_MEMORY)
        error_set(err, status, "%s: no memory", path);
    return status;
}

/* The URI names, separated by spaces, or the subject where there are none. */
static void show_name(X509 *certificate, FILE *out)
{
    char shown[SHOWN_MAX];
    size_t count = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        text_escape(ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri), shown,
                    sizeof shown);
        fprintf(out, "%s%s", count++ > 0 ? " " : "", shown);
    }
    GENERAL_NAMES_free(names);
    if (count > 0)
        return;
    char subject[256] = "";
    X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof subject);
    text_escape(subject, strlen(subject), shown, sizeof shown);
    fprintf(out, "%s", shown);
}

static void show_key(X509 *certificate, FILE *out)
{
    char group[64] = "";
    size_t size = 0;
    struct digest key_id;
    char hex[DIGEST_HEX_MAX];
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    const char *kind = key != nullptr ? EVP_PKEY_get0_type_name(key) : nullptr;
    if (key != nullptr && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
        strcmp(group, "prime256v1") == 0)
        kind = "P-256";
    fprintf(out, "  key          %s\n", kind != nullptr ? kind : "unknown");
    if (key != nullptr && svid_key_id(key, &key_id) == STATUS_OK) {
        digest_to_hex(&key_id, hex);
        fprintf(out, "  key id       %s\n", hex);
    }
}

static bool read_time(const ASN1_TIME *time, int64_t *ret_unix_s, char ret_text[static 32])
{
    struct tm parts = {0};
    if (ASN1_TIME_to_tm(time, &parts) != 1 ||
        strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return false;
    *ret_unix_s = (int64_t)timegm(&parts);
    return true;
}

static void show_dates(X509 *certificate, int64_t now_unix_s, FILE *out)
{
    int64_t from_unix_s = 0;
    int64_t until_unix_s = 0;
    char from[32];
    char until[32];
    if (!read_time(X509_get0_notBefore(certificate), &from_unix_s, from) ||
        !read_time(X509_get0_notAfter(certificate), &until_unix_s, until)) {
        fprintf(out, "  valid        its dates cannot be read\n");
        return;
    }
    fprintf(out, "  valid        %s to %s", from, until);
    if (now_unix_s < from_unix_s)
        fprintf(out, " (not yet)\n");
    else if (now_unix_s >= until_unix_s)
        fprintf(out, " (expired)\n");
    else
        fprintf(out, " (%" PRId64 " s left)\n", until_unix_s - now_unix_s);
}

static enum status show_certificate(X509 *certificate, int64_t now_unix_s, FILE *out,
                                    struct error *err)
{
    uint8_t *der = nullptr;
    struct digest fingerprint;
    char hex[DIGEST_HEX_MAX];
    const int size = i2d_X509(certificate, &der);
    if (size <= 0)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a certificate");
    digest_of(der, (size_t)size, &fingerprint);
    OPENSSL_free(der);
    digest_to_hex(&fingerprint, hex);
    show_name(certificate, out);
    fprintf(out, "\n  is           %s\n",
            X509_check_ca(certificate) > 0 ? "a root or CA" : "a leaf");
    show_key(certificate, out);
    show_dates(certificate, now_unix_s, out);
    fprintf(out, "  fingerprint  %s\n", hex);
    ERR_clear_error();
    return STATUS_OK;
}

static enum status show_file(const char *path, int64_t now_unix_s, FILE *out, struct error *err)
{
    struct bytes content;
    STACK_OF(X509) *chain = nullptr;
    bytes_init(&content, TRUST_BUNDLE_BYTES_MAX);
    enum status status = read_whole(path, &content, err);
    if (status != STATUS_OK)
        goto out;
    status = svid_chain_decode_pem(bytes_slice(&content), &chain, err);
    if (status != STATUS_OK) {
        error_prefix(err, status, "%s", path);
        goto out;
    }
    fprintf(out, "%s:\n", path);
    for (int i = 0; status == STATUS_OK && i < sk_X509_num(chain); i++)
        status = show_certificate(sk_X509_value(chain, i), now_unix_s, out, err);
out:
    sk_X509_pop_free(chain, X509_free);
    bytes_deinit(&content);
    return status;
}

enum status ca_show(const char *path, int64_t now_unix_s, FILE *out, struct error *err)
{
    static const char *const names[] = {"svid.pem", "envelope.pem", "bundle.pem"};
    struct stat there;
    size_t count = 0;
    if (stat(path, &there) != 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s",
                               path);
    if (!S_ISDIR(there.st_mode))
        return show_file(path, now_unix_s, out, err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char file[PATH_MAX];
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, names[i]) >= sizeof file)
            return error_set(err, STATUS_LIMIT, "the path is too long: %s", path);
        const enum status status = show_file(file, now_unix_s, out, err);
        if (status == STATUS_NOT_FOUND)
            continue;
        if (status != STATUS_OK)
            return status;
        count++;
    }
    if (count == 0)
        return error_set(err, STATUS_NOT_FOUND,
                         "%s holds neither an identity nor an authority (svid.pem, envelope.pem, "
                         "bundle.pem)",
                         path);
    return STATUS_OK;
}
