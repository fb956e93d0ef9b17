/*
 * identity_files.c - loads an identity's folder and checks all of it.
 *
 * Not here: making and installing one (identity_install.c).
 */
#include "identity/identity_files.h"

#include "identity/openssl_error.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = TRUST_BUNDLE_BYTES_MAX };

static enum status read_whole(int fd, const char *dir, const char *name, bool secret,
                              struct bytes *content, struct error *err)
{
    struct stat there;
    if (fstat(fd, &there) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s/%s", dir, name);
    if (!S_ISREG(there.st_mode))
        return error_set(err, STATUS_CORRUPT, "%s/%s is no regular file", dir, name);
    if (secret && (there.st_mode & 077) != 0)
        return error_set(err, STATUS_PERMISSION,
                         "%s/%s can be read by others (mode %04o); right is: chmod 600 %s/%s", dir,
                         name, there.st_mode & 07777, dir, name);
    if (there.st_size <= 0 || there.st_size > FILE_BYTES_MAX)
        return error_set(err, STATUS_CORRUPT, "%s/%s has %lld bytes, 1 to %d are right", dir, name,
                         (long long)there.st_size, FILE_BYTES_MAX);
    enum status status = bytes_reserve(content, (size_t)there.st_size);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for %s/%s", dir, name);
    while (status == STATUS_OK && content->size < (size_t)there.st_size) {
        const ssize_t got =
            read(fd, content->data + content->size, (size_t)there.st_size - content->size);
        if (got > 0)
            content->size += (size_t)got;
        else if (got == 0)
            status = error_set(err, STATUS_CORRUPT, "%s/%s became shorter", dir, name);
        else if (errno != EINTR)
            status = error_set_errno(err, STATUS_IO, errno, "%s/%s", dir, name);
    }
    return status;
}

static enum status read_file(int folder, const char *dir, const char *name, bool secret,
                             struct bytes *content, struct error *err)
{
    bytes_init(content, FILE_BYTES_MAX);
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s/%s",
                               dir, name);
    const enum status status = read_whole(fd, dir, name, secret, content, err);
    close(fd);
    return status;
}

static enum status load_key(int folder, const char *dir, const char *name, EVP_PKEY **ret_key,
                            struct error *err)
{
    struct bytes pem;
    enum status status = read_file(folder, dir, name, true, &pem, err);
    if (status == STATUS_OK) {
        BIO *const bio = BIO_new_mem_buf(pem.data, (int)pem.size);
        char no_password[] = "";
        EVP_PKEY *const key =
            bio != nullptr ? PEM_read_bio_PrivateKey(bio, nullptr, nullptr, no_password) : nullptr;
        if (key == nullptr)
            status =
                error_set_openssl(err, STATUS_CORRUPT, "%s/%s is no private key in PEM", dir, name);
        else
            *ret_key = key;
        BIO_free(bio);
    }
    bytes_wipe(&pem);
    return status;
}

static enum status load_chain(int folder, const char *dir, const char *name,
                              STACK_OF(X509) * *ret_chain, struct error *err)
{
    struct bytes pem;
    enum status status = read_file(folder, dir, name, false, &pem, err);
    if (status == STATUS_OK) {
        status = svid_chain_decode_pem(bytes_slice(&pem), ret_chain, err);
        if (status != STATUS_OK)
            status = error_prefix(err, STATUS_CORRUPT, "%s/%s", dir, name);
    }
    bytes_deinit(&pem);
    return status;
}

/* The roots are those of the trust domain that the certificate names. */
static enum status load_trust(int folder, const char *dir, struct identity *identity,
                              struct error *err)
{
    struct bytes pem;
    struct svid_info info;
    enum status status = svid_check_leaf(sk_X509_value(identity->svid_chain, 0), &info, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "%s/svid.pem", dir);
    status = read_file(folder, dir, "bundle.pem", false, &pem, err);
    if (status == STATUS_OK && trust_create(&identity->trust) != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the roots of %s", dir);
    if (status == STATUS_OK) {
        status = trust_add_pem(identity->trust, info.id.trust_domain, bytes_slice(&pem), err);
        if (status != STATUS_OK)
            status = error_prefix(err, status, "%s/bundle.pem", dir);
    }
    bytes_deinit(&pem);
    return status;
}

static enum status check(const char *dir, const char *name, const struct identity *identity,
                         STACK_OF(X509) * chain, EVP_PKEY *key, uint32_t flags, int64_t now_unix_s,
                         struct svid_info *ret_info, struct error *err)
{
    X509 *const leaf = sk_X509_value(chain, 0);
    const enum status status =
        svid_verify(identity->trust, leaf, chain, now_unix_s, flags, nullptr, ret_info, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "%s/%s.pem", dir, name);
    if (X509_check_private_key(leaf, key) != 1)
        return error_set_openssl(err, STATUS_IDENTITY,
                                 "%s/%s.key is not the key of %s/%s.pem; issue the identity anew",
                                 dir, name, dir, name);
    return STATUS_OK;
}

static enum status load(int folder, const char *dir, int64_t now_unix_s, struct identity *identity,
                        struct error *err)
{
    enum status status = load_key(folder, dir, "svid.key", &identity->svid_key, err);
    if (status == STATUS_OK)
        status = load_key(folder, dir, "envelope.key", &identity->envelope_key, err);
    if (status == STATUS_OK)
        status = load_chain(folder, dir, "svid.pem", &identity->svid_chain, err);
    if (status == STATUS_OK)
        status = load_chain(folder, dir, "envelope.pem", &identity->envelope_chain, err);
    if (status == STATUS_OK)
        status = load_trust(folder, dir, identity, err);
    if (status == STATUS_OK)
        status = check(dir, "svid", identity, identity->svid_chain, identity->svid_key, 0,
                       now_unix_s, &identity->svid, err);
    if (status == STATUS_OK)
        status = check(dir, "envelope", identity, identity->envelope_chain, identity->envelope_key,
                       SVID_ML_DSA_ONLY, now_unix_s, &identity->envelope, err);
    if (status == STATUS_OK && strcmp(identity->svid.id.text, identity->envelope.id.text) != 0)
        status = error_set(err, STATUS_IDENTITY,
                           "%s: svid.pem is of %s and envelope.pem of %s; both must be of one", dir,
                           identity->svid.id.text, identity->envelope.id.text);
    return status;
}

enum status identity_open(const char *dir, int64_t now_unix_s, struct identity **ret_identity,
                          struct error *err)
{
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "the identity's folder %s", dir);
    struct identity *const identity = calloc(1, sizeof(*identity));
    enum status status = identity != nullptr
                             ? load(folder, dir, now_unix_s, identity, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for an identity");
    close(folder);
    if (identity != nullptr)
        atomic_init(&identity->references, 1);
    if (status == STATUS_OK)
        *ret_identity = identity;
    else
        identity_close(identity);
    return status;
}

struct identity *identity_ref(struct identity *identity)
{
    atomic_fetch_add(&identity->references, 1);
    return identity;
}

enum identity_key_kind identity_tls_kind(const struct identity *identity)
{
    return EVP_PKEY_is_a(identity->svid_key, "ML-DSA-65") ? IDENTITY_KEY_ML_DSA_65
                                                          : IDENTITY_KEY_P256;
}

void identity_close(struct identity *identity)
{
    if (identity == nullptr || atomic_fetch_sub(&identity->references, 1) != 1)
        return;
    EVP_PKEY_free(identity->svid_key); /* OpenSSL overwrites private parts */
    EVP_PKEY_free(identity->envelope_key);
    sk_X509_pop_free(identity->svid_chain, X509_free);
    sk_X509_pop_free(identity->envelope_chain, X509_free);
    trust_unref(identity->trust);
    free(identity);
}
