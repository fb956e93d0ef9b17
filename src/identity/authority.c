/*
 * authority.c - opens a local authority and certifies keys with its roots.
 *
 * Everything about the folder is checked when it is opened, so that issuing cannot meet it. Not
 * here: how the folder is made (authority_init.c), what a certificate is made of
 * (authority_certificate.c), who may ask (authority_service.c).
 */
#include "identity/authority.h"

#include "base/text.h"
#include "identity/authority_certificate.h"
#include "identity/authority_files.h"
#include "identity/openssl_error.h"
#include "identity/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 * 1024, FORMAT_BYTES_MAX = 1024 };

struct root {
    EVP_PKEY *key;
    X509 *certificate;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
};

/* Read-only once it is open. */
struct authority {
    char trust_domain[SPIFFE_ID_MAX];
    struct root roots[AUTHORITY_ROOTS]; /* by enum identity_key_kind */
    struct bytes bundle;                /* PEM */
};

/* The folder that is being opened. */
struct folder {
    const char *dir;
    int fd;
};

/* Reads to the end of the file; content has the room for size bytes and is not moved. */
static enum status read_all(int fd, size_t size, struct bytes *content)
{
    enum status status = bytes_reserve(content, size);
    while (status == STATUS_OK && content->size < size) {
        const ssize_t got = read(fd, content->data + content->size, size - content->size);
        if (got == 0)
            break;
        if (got > 0)
            content->size += (size_t)got;
        else if (errno != EINTR)
            status = STATUS_IO;
    }
    return status;
}

/*
 * Appends a whole file to content. is_secret: nobody but its owner may have any access to it.
 * NOT_FOUND, PERMISSION, CORRUPT where it is larger than content may be or no regular file, IO.
 */
static enum status read_file(const struct folder *folder, const char *name, bool is_secret,
                             struct bytes *content, struct error *err)
{
    struct stat there;
    const int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno, "%s/%s",
                               folder->dir, name);
    enum status status = STATUS_OK;
    if (fstat(fd, &there) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "%s/%s", folder->dir, name);
    else if (!S_ISREG(there.st_mode))
        status = error_set(err, STATUS_CORRUPT, "%s/%s is no regular file", folder->dir, name);
    else if (is_secret && (there.st_mode & 077) != 0)
        status = error_set(err, STATUS_PERMISSION,
                           "%s/%s can be read by others (mode %04o); right is: chmod 600 %s/%s",
                           folder->dir, name, (unsigned)(there.st_mode & 07777), folder->dir, name);
    else if ((uint64_t)there.st_size > content->size_max)
        status = error_set(err, STATUS_CORRUPT, "%s/%s has %lld bytes; at most %zu are right",
                           folder->dir, name, (long long)there.st_size, content->size_max);
    if (status == STATUS_OK) {
        status = read_all(fd, (size_t)there.st_size, content);
        if (status == STATUS_IO)
            error_set_errno(err, status, errno, "%s/%s", folder->dir, name);
        else if (status != STATUS_OK)
            error_set(err, status, "%s/%s: %s", folder->dir, name, status_text(status));
    }
    close(fd);
    return status;
}

static enum status read_format(const struct folder *folder, char ret_domain[static SPIFFE_ID_MAX],
                               struct error *err)
{
    static const char first[] = AUTHORITY_FORMAT_FIRST AUTHORITY_FORMAT_DOMAIN;
    struct bytes content;
    bytes_init(&content, FORMAT_BYTES_MAX);
    enum status status = read_file(folder, AUTHORITY_FILE_FORMAT, false, &content, err);
    if (status == STATUS_NOT_FOUND)
        error_set(err, status, "%s holds no authority; `fedra ca init` makes one", folder->dir);
    if (status == STATUS_OK)
        status = bytes_append(&content, "", 1);
    if (status != STATUS_OK)
        goto out;
    char *text = (char *)content.data;
    const size_t name_size = sizeof AUTHORITY_FORMAT_NAME - 1;
    if (strncmp(text, AUTHORITY_FORMAT_NAME, name_size) != 0) {
        status =
            error_set(err, STATUS_CORRUPT, "%s/FORMAT is not that of an authority", folder->dir);
        goto out;
    }
    if (strncmp(text, AUTHORITY_FORMAT_FIRST, sizeof AUTHORITY_FORMAT_FIRST - 1) != 0) {
        char shown[32];
        text_escape(text + name_size, strcspn(text + name_size, "\n"), shown, sizeof shown);
        status = error_set(err, STATUS_VERSION, "%s/FORMAT has version %s; this program knows 1",
                           folder->dir, shown);
        goto out;
    }
    char *domain = text + sizeof first - 1;
    const bool is_right = strncmp(text, first, sizeof first - 1) == 0;
    const size_t size = is_right ? strcspn(domain, "\n") : 0;
    if (!is_right || strcmp(domain + size, "\n") != 0 ||
        text + strlen(text) + 1 != (char *)content.data + content.size) {
        status = error_set(err, STATUS_CORRUPT,
                           "%s/FORMAT: right is a second and last line \"" AUTHORITY_FORMAT_DOMAIN
                           "NAME\"",
                           folder->dir);
        goto out;
    }
    domain[size] = 0;
    status = spiffe_trust_domain_check(domain, err);
    if (status == STATUS_OK)
        memcpy(ret_domain, domain, size + 1);
    else
        status = error_prefix(err, STATUS_CORRUPT, "%s/FORMAT", folder->dir);
out:
    bytes_deinit(&content);
    return status;
}

/* An encrypted key is refused, not asked the password of. */
static int no_password(char *buffer, int size, int writing, void *context)
{
    return -1;
}

static enum status read_key(const struct folder *folder, const struct authority_root_files *files,
                            EVP_PKEY **ret_key, struct error *err)
{
    struct bytes content;
    BIO *bio = nullptr;
    bytes_init(&content, FILE_BYTES_MAX);
    enum status status = read_file(folder, files->key, true, &content, err);
    if (status != STATUS_OK)
        goto out;
    ERR_clear_error();
    bio = BIO_new_mem_buf(content.size > 0 ? (const void *)content.data : "", (int)content.size);
    EVP_PKEY *key =
        bio != nullptr ? PEM_read_bio_PrivateKey(bio, nullptr, no_password, nullptr) : nullptr;
    if (key == nullptr)
        status = error_set_openssl(err, STATUS_CORRUPT, "%s/%s is no private key in PEM",
                                   folder->dir, files->key);
    else
        *ret_key = key;
out:
    BIO_free(bio);
    bytes_wipe(&content);
    return status;
}

static enum status read_certificate(const struct folder *folder,
                                    const struct authority_root_files *files, X509 **ret_root,
                                    struct error *err)
{
    struct bytes content;
    STACK_OF(X509) *chain = nullptr;
    bytes_init(&content, FILE_BYTES_MAX);
    enum status status = read_file(folder, files->certificate, false, &content, err);
    if (status != STATUS_OK)
        goto out;
    status = svid_chain_decode_pem(bytes_slice(&content), &chain, err);
    if (status == STATUS_OK && sk_X509_num(chain) != 1)
        status = error_set(err, STATUS_INVAL, "%d certificates; right is one", sk_X509_num(chain));
    if (status != STATUS_OK) {
        status = error_prefix(err, status == STATUS_NO_MEMORY ? status : STATUS_CORRUPT, "%s/%s",
                              folder->dir, files->certificate);
        goto out;
    }
    *ret_root = sk_X509_shift(chain);
out:
    sk_X509_pop_free(chain, X509_free);
    bytes_deinit(&content);
    return status;
}

static bool read_time(const ASN1_TIME *time, int64_t *ret_unix_s)
{
    struct tm parts = {0};
    if (ASN1_TIME_to_tm(time, &parts) != 1)
        return false;
    *ret_unix_s = (int64_t)timegm(&parts);
    return true;
}

/* Are key and certificate a root of the right kind, of this trust domain, that belong together? */
static enum status check_root(const struct folder *folder, const char *trust_domain,
                              enum identity_key_kind kind, struct root *root, struct error *err)
{
    const struct authority_root_files *files = &authority_root_files[kind];
    enum identity_key_kind found = IDENTITY_KEY_P256;
    enum status status = certificate_key_kind(root->key, &found, err);
    if (status == STATUS_OK && found != kind)
        status = error_set(err, STATUS_CORRUPT, "the key is of another kind than its name says");
    if (status != STATUS_OK)
        return error_prefix(err, STATUS_CORRUPT, "%s/%s", folder->dir, files->key);
    ERR_clear_error();
    if (X509_check_private_key(root->certificate, root->key) != 1)
        return error_set_openssl(err, STATUS_CORRUPT, "%s/%s is not the certificate of %s",
                                 folder->dir, files->certificate, files->key);
    if (X509_verify(root->certificate, root->key) != 1)
        return error_set_openssl(err, STATUS_CORRUPT, "%s/%s is not signed by its own key",
                                 folder->dir, files->certificate);
    status = svid_check_signing(root->certificate, trust_domain, err);
    if (status != STATUS_OK)
        return error_prefix(err, STATUS_CORRUPT, "%s/%s", folder->dir, files->certificate);
    if (!read_time(X509_get0_notBefore(root->certificate), &root->not_before_unix_s) ||
        !read_time(X509_get0_notAfter(root->certificate), &root->not_after_unix_s))
        return error_set_openssl(err, STATUS_CORRUPT, "the dates of %s/%s", folder->dir,
                                 files->certificate);
    return STATUS_OK;
}

/* The bundle may hold older roots too, but must hold both of these. */
static enum status read_bundle(const struct folder *folder, struct authority *authority,
                               struct error *err)
{
    STACK_OF(X509) *roots = nullptr;
    struct trust *trust = nullptr;
    enum status status = read_file(folder, AUTHORITY_FILE_BUNDLE, false, &authority->bundle, err);
    if (status != STATUS_OK)
        return status;
    const struct slice pem = bytes_slice(&authority->bundle);
    status = trust_create(&trust);
    if (status == STATUS_OK)
        status = trust_add_pem(trust, authority->trust_domain, pem, err);
    if (status == STATUS_OK)
        status = svid_chain_decode_pem(pem, &roots, err);
    for (int kind = 0; status == STATUS_OK && kind < AUTHORITY_ROOTS; kind++) {
        bool has = false;
        for (int i = 0; i < sk_X509_num(roots); i++)
            has = has || X509_cmp(sk_X509_value(roots, i), authority->roots[kind].certificate) == 0;
        if (!has)
            status = error_set(err, STATUS_CORRUPT, "%s is missing",
                               authority_root_files[kind].certificate);
    }
    sk_X509_pop_free(roots, X509_free);
    trust_unref(trust);
    if (status != STATUS_OK)
        return error_prefix(err, status == STATUS_NO_MEMORY ? status : STATUS_CORRUPT, "%s/%s",
                            folder->dir, AUTHORITY_FILE_BUNDLE);
    return STATUS_OK;
}

static enum status read_folder(const struct folder *folder, struct authority *authority,
                               struct error *err)
{
    enum status status = read_format(folder, authority->trust_domain, err);
    for (int kind = 0; status == STATUS_OK && kind < AUTHORITY_ROOTS; kind++) {
        struct root *root = &authority->roots[kind];
        status = read_key(folder, &authority_root_files[kind], &root->key, err);
        if (status == STATUS_OK)
            status = read_certificate(folder, &authority_root_files[kind], &root->certificate, err);
        if (status == STATUS_OK)
            status = check_root(folder, authority->trust_domain, (enum identity_key_kind)kind, root,
                                err);
    }
    if (status == STATUS_OK)
        status = read_bundle(folder, authority, err);
    return status;
}

enum status authority_open(const char *dir, struct authority **ret_authority, struct error *err)
{
    struct folder folder = {dir, open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0)
        return error_set_errno(err,
                               errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO,
                               errno, "%s", dir);
    struct authority *authority = calloc(1, sizeof *authority);
    enum status status = STATUS_OK;
    if (authority == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for an authority");
        goto out;
    }
    bytes_init(&authority->bundle, TRUST_BUNDLE_BYTES_MAX);
    status = read_folder(&folder, authority, err);
    if (status != STATUS_OK)
        goto out;
    *ret_authority = authority;
    authority = nullptr;
out:
    authority_close(authority);
    close(folder.fd);
    return status;
}

void authority_close(struct authority *authority)
{
    if (authority == nullptr)
        return;
    for (int kind = 0; kind < AUTHORITY_ROOTS; kind++) {
        EVP_PKEY_free(authority->roots[kind].key); /* OpenSSL overwrites private keys */
        X509_free(authority->roots[kind].certificate);
    }
    bytes_deinit(&authority->bundle);
    free(authority);
}

const char *authority_trust_domain(const struct authority *authority)
{
    return authority->trust_domain;
}

struct slice authority_bundle(const struct authority *authority)
{
    return bytes_slice(&authority->bundle);
}

static enum status check_asked(const struct authority *authority, const char *spiffe_id,
                               uint32_t ttl_s, struct spiffe_id *ret_id, struct error *err)
{
    struct spiffe_id id;
    const enum status status = spiffe_id_parse(spiffe_id, strlen(spiffe_id), &id, err);
    if (status != STATUS_OK)
        return status;
    if (strcmp(id.trust_domain, authority->trust_domain) != 0)
        return error_set(err, STATUS_INVAL, "%s is not of this authority's trust domain %s",
                         id.text, authority->trust_domain);
    if (id.path[0] == 0)
        return error_set(err, STATUS_INVAL, "%s names the whole trust domain; an id has a path",
                         id.text);
    if (ttl_s < AUTHORITY_TTL_MIN_S || ttl_s > AUTHORITY_TTL_MAX_S)
        return error_set(err, STATUS_INVAL, "%lu s is no life of a certificate; right are %d to %d",
                         (unsigned long)ttl_s, AUTHORITY_TTL_MIN_S, AUTHORITY_TTL_MAX_S);
    *ret_id = id;
    return STATUS_OK;
}

static enum status append_der(X509 *certificate, struct bytes *ret_der, struct error *err)
{
    uint8_t *der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size <= 0)
        return error_set_openssl(err, STATUS_NO_MEMORY, "the certificate cannot be encoded");
    const enum status status = bytes_append(ret_der, der, (size_t)size);
    OPENSSL_free(der);
    if (status != STATUS_OK)
        return error_set(err, status, "a certificate of %d bytes: %s", size, status_text(status));
    return STATUS_OK;
}

enum status authority_issue(const struct authority *authority, struct slice csr,
                            const char *spiffe_id, uint32_t ttl_s, int64_t now_unix_s,
                            struct bytes *ret_der, struct error *err)
{
    struct spiffe_id id;
    enum identity_key_kind kind = IDENTITY_KEY_P256;
    EVP_PKEY *key = nullptr;
    X509 *certificate = nullptr;
    enum status status = check_asked(authority, spiffe_id, ttl_s, &id, err);
    if (status != STATUS_OK)
        goto out;
    status = certificate_request_decode(csr, &key, &kind, err);
    if (status != STATUS_OK)
        goto out;
    const struct root *root = &authority->roots[kind];
    if (now_unix_s < root->not_before_unix_s || now_unix_s >= root->not_after_unix_s) {
        status =
            error_set(err, STATUS_LIMIT,
                      "the authority's root %s now (clock?); `fedra ca init` in another "
                      "folder makes new roots",
                      now_unix_s < root->not_before_unix_s ? "is not valid yet" : "is expired");
        goto out;
    }
    const int64_t from = now_unix_s - AUTHORITY_BACKDATE_S;
    const int64_t until = now_unix_s + (int64_t)ttl_s;
    const struct certificate_plan plan = {
        .uri = id.text,
        .key = key,
        .issuer = root->certificate,
        .issuer_key = root->key,
        .not_before_unix_s = from > root->not_before_unix_s ? from : root->not_before_unix_s,
        .not_after_unix_s = until < root->not_after_unix_s ? until : root->not_after_unix_s};
    status = certificate_make(&plan, &certificate, err);
    if (status == STATUS_OK)
        status = append_der(certificate, ret_der, err);
out:
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}
