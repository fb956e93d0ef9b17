/*
 * identity_install.c - makes the keys of an identity and their requests, and puts them with their
 * certificates into a folder, all or nothing.
 */
#include "identity/identity_files.h"

#include "identity/openssl_error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    INSTALL_PATH_MAX = 1024,
    FILES = 5,
    STALE_AFTER_S = 60, /* no installation takes that long */
    SUFFIX_DIGITS = 8,
};

#define SUFFIX ".new-" /* of the folder that is filled beside */

static const char *const names[FILES] = {"svid.key", "svid.pem", "envelope.key", "envelope.pem",
                                         "bundle.pem"};

struct identity_request {
    EVP_PKEY *tls;
    EVP_PKEY *envelope;
    uint8_t *tls_csr;
    int tls_csr_size;
    uint8_t *envelope_csr;
    int envelope_csr_size;
};

/* A request signed by its own key: the proof that the asker has it. */
static enum status make_csr(EVP_PKEY *key, const EVP_MD *digest, uint8_t **ret_der, int *ret_size,
                            struct error *err)
{
    X509_REQ *const request = X509_REQ_new();
    enum status status = STATUS_OK;
    if (request == nullptr || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_sign(request, key, digest) <= 0)
        status = error_set_openssl(err, STATUS_NO_MEMORY, "a certificate request");
    if (status == STATUS_OK) {
        const int size = i2d_X509_REQ(request, ret_der);
        if (size <= 0)
            status = error_set_openssl(err, STATUS_NO_MEMORY, "a certificate request");
        else
            *ret_size = size;
    }
    X509_REQ_free(request);
    return status;
}

enum status identity_request_create(enum identity_key_kind tls_kind,
                                    struct identity_request **ret_request, struct error *err)
{
    struct identity_request *const request = calloc(1, sizeof(*request));
    if (request == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for keys");
    const bool p256 = tls_kind == IDENTITY_KEY_P256;
    request->tls = p256 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                        : EVP_PKEY_Q_keygen(nullptr, nullptr, "ML-DSA-65");
    request->envelope = EVP_PKEY_Q_keygen(nullptr, nullptr, "ML-DSA-65");
    enum status status = STATUS_OK;
    if (request->tls == nullptr || request->envelope == nullptr)
        status = error_set_openssl(err, STATUS_NO_MEMORY, "keys could not be made");
    if (status == STATUS_OK)
        status = make_csr(request->tls, p256 ? EVP_sha256() : nullptr, &request->tls_csr,
                          &request->tls_csr_size, err);
    if (status == STATUS_OK)
        status = make_csr(request->envelope, nullptr, &request->envelope_csr,
                          &request->envelope_csr_size, err);
    if (status == STATUS_OK)
        *ret_request = request;
    else
        identity_request_destroy(request);
    return status;
}

void identity_request_destroy(struct identity_request *request)
{
    if (request == nullptr)
        return;
    EVP_PKEY_free(request->tls);
    EVP_PKEY_free(request->envelope);
    OPENSSL_free(request->tls_csr);
    OPENSSL_free(request->envelope_csr);
    free(request);
}

struct slice identity_request_tls_csr(const struct identity_request *request)
{
    return (struct slice){request->tls_csr, (size_t)request->tls_csr_size};
}

struct slice identity_request_envelope_csr(const struct identity_request *request)
{
    return (struct slice){request->envelope_csr, (size_t)request->envelope_csr_size};
}

static enum status status_of_errno(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

static enum status write_file(int folder, const char *dir, const char *name, mode_t mode,
                              struct slice content, struct error *err)
{
    const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int number = fd >= 0 && fchmod(fd, mode) == 0 ? 0 : errno;
    for (size_t done = 0; number == 0 && done < content.size;) {
        const ssize_t size = write(fd, content.data + done, content.size - done);
        if (size >= 0)
            done += (size_t)size;
        else if (errno != EINTR)
            number = errno;
    }
    if (number == 0 && fsync(fd) != 0)
        number = errno;
    if (fd >= 0 && close(fd) != 0 && number == 0)
        number = errno;
    if (number != 0)
        return error_set_errno(err, status_of_errno(number), number, "%s/%s", dir, name);
    return STATUS_OK;
}

static enum status write_key(int folder, const char *dir, const char *name, EVP_PKEY *key,
                             struct error *err)
{
    BIO *const bio = BIO_new(BIO_s_secmem()); /* overwritten when it is freed */
    char *data = nullptr;
    enum status status = STATUS_OK;
    if (bio == nullptr ||
        PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
        status = error_set_openssl(err, STATUS_NO_MEMORY, "%s/%s", dir, name);
    if (status == STATUS_OK) {
        const long size = BIO_get_mem_data(bio, &data);
        status = write_file(folder, dir, name, 0600,
                            (struct slice){(const uint8_t *)data, (size_t)size}, err);
    }
    BIO_free(bio);
    return status;
}

static enum status write_chain(int folder, const char *dir, const char *name,
                               const struct svid_chain *chain, struct error *err)
{
    STACK_OF(X509) *decoded = nullptr;
    enum status status = svid_chain_decode(chain->certificates, chain->count, &decoded, err);
    if (status != STATUS_OK)
        return error_prefix(err, STATUS_IDENTITY, "%s", name);
    BIO *const bio = BIO_new(BIO_s_mem());
    char *data = nullptr;
    bool good = bio != nullptr;
    for (int i = 0; i < sk_X509_num(decoded) && good; i++)
        good = PEM_write_bio_X509(bio, sk_X509_value(decoded, i)) == 1;
    if (good) {
        const long size = BIO_get_mem_data(bio, &data);
        status = write_file(folder, dir, name, 0644,
                            (struct slice){(const uint8_t *)data, (size_t)size}, err);
    } else {
        status = error_set_openssl(err, STATUS_NO_MEMORY, "%s/%s", dir, name);
    }
    BIO_free(bio);
    sk_X509_pop_free(decoded, X509_free);
    return status;
}

static void remove_folder(const char *dir)
{
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    for (size_t i = 0; i < FILES; i++)
        (void)unlinkat(folder, names[i], 0);
    close(folder);
    (void)rmdir(dir);
}

/* Whether name is base, SUFFIX and the digits. */
static bool is_beside(const char *name, const char *base)
{
    const size_t length = strlen(base);
    if (strncmp(name, base, length) != 0 || strncmp(name + length, SUFFIX, sizeof(SUFFIX) - 1) != 0)
        return false;
    const char *const digits = name + length + sizeof(SUFFIX) - 1;
    return strlen(digits) == SUFFIX_DIGITS && strspn(digits, "0123456789abcdef") == SUFFIX_DIGITS;
}

/* Keys must not lie about for ever that a process was killed over: old folders beside go away. */
static void remove_stale(const char *path)
{
    char parent[INSTALL_PATH_MAX + 16];
    char stale[2 * INSTALL_PATH_MAX];
    const char *const slash = strrchr(path, '/');
    const char *const base = slash != nullptr ? slash + 1 : path;
    snprintf(parent, sizeof(parent), "%.*s", (int)(base - path), path);
    DIR *const folder = opendir(parent[0] != 0 ? parent : ".");
    if (folder == nullptr)
        return;
    const time_t now = time(nullptr);
    for (const struct dirent *entry = readdir(folder); entry != nullptr; entry = readdir(folder)) {
        struct stat there;
        if (!is_beside(entry->d_name, base) ||
            fstatat(dirfd(folder), entry->d_name, &there, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISDIR(there.st_mode) || there.st_mtim.tv_sec + STALE_AFTER_S > now)
            continue;
        snprintf(stale, sizeof(stale), "%s%s", parent, entry->d_name);
        remove_folder(stale);
    }
    closedir(folder);
}

/* EXISTS where the folder holds anything but an identity's files. */
static enum status check_replaceable(const char *dir, bool *ret_exists, struct error *err)
{
    DIR *const folder = opendir(dir);
    if (folder == nullptr && errno == ENOENT) {
        *ret_exists = false;
        return STATUS_OK;
    }
    if (folder == nullptr)
        return error_set_errno(err, errno == ENOTDIR ? STATUS_EXISTS : STATUS_IO, errno,
                               "the identity's folder %s", dir);
    enum status status = STATUS_OK;
    for (const struct dirent *entry = readdir(folder); entry != nullptr && status == STATUS_OK;
         entry = readdir(folder)) {
        bool known = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        for (size_t i = 0; i < FILES; i++)
            known = known || strcmp(entry->d_name, names[i]) == 0;
        if (!known)
            status = error_set(err, STATUS_EXISTS,
                               "%s holds %s, which is no file of an identity; give it a folder of "
                               "its own",
                               dir, entry->d_name);
    }
    closedir(folder);
    *ret_exists = true;
    return status;
}

static enum status sync_parent(const char *dir, struct error *err)
{
    char parent[INSTALL_PATH_MAX + 16];
    snprintf(parent, sizeof(parent), "%s/..", dir);
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int number = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    return number == 0 ? STATUS_OK : error_set_errno(err, STATUS_IO, number, "%s", parent);
}

static enum status fill(const struct identity_request *request, const char *dir,
                        const struct svid_chain *tls_chain, const struct svid_chain *envelope_chain,
                        struct slice bundle_pem, int64_t now_unix_s, struct error *err)
{
    struct identity *identity = nullptr;
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", dir);
    enum status status = write_key(folder, dir, "svid.key", request->tls, err);
    if (status == STATUS_OK)
        status = write_key(folder, dir, "envelope.key", request->envelope, err);
    if (status == STATUS_OK)
        status = write_chain(folder, dir, "svid.pem", tls_chain, err);
    if (status == STATUS_OK)
        status = write_chain(folder, dir, "envelope.pem", envelope_chain, err);
    if (status == STATUS_OK)
        status = write_file(folder, dir, "bundle.pem", 0644, bundle_pem, err);
    if (status == STATUS_OK && fsync(folder) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "%s", dir);
    close(folder);
    if (status == STATUS_OK)
        status = identity_open(dir, now_unix_s, &identity, err);
    identity_close(identity);
    return status;
}

static enum status check_length(size_t length, struct error *err)
{
    if (length == 0 || length >= INSTALL_PATH_MAX)
        return error_set(err, STATUS_INVAL, "the identity's folder needs a path of 1 to %d bytes",
                         INSTALL_PATH_MAX - 1);
    return STATUS_OK;
}

/* The folder itself: that which dir names through links, or where it will be. */
static enum status resolve(const char *dir, bool exists, char ret_path[static INSTALL_PATH_MAX],
                           struct error *err)
{
    char *const there = exists ? realpath(dir, nullptr) : nullptr;
    if (exists && there == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "the identity's folder %s", dir);
    const char *const path = exists ? there : dir;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const enum status status = check_length(length, err);
    if (status == STATUS_OK)
        snprintf(ret_path, INSTALL_PATH_MAX, "%.*s", (int)length, path);
    free(there);
    return status;
}

enum status identity_install(const struct identity_request *request, const char *dir,
                             const struct svid_chain *tls_chain,
                             const struct svid_chain *envelope_chain, struct slice bundle_pem,
                             int64_t now_unix_s, struct error *err)
{
    char path[INSTALL_PATH_MAX];
    char beside[INSTALL_PATH_MAX + 32];
    uint32_t random = 0;
    bool exists = false;
    enum status status = check_length(strlen(dir), err);
    if (status == STATUS_OK)
        status = check_replaceable(dir, &exists, err);
    if (status == STATUS_OK)
        status = resolve(dir, exists, path, err);
    if (status != STATUS_OK)
        return status;
    if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
        return error_set_openssl(err, STATUS_IO, "no random bytes");
    remove_stale(path);
    snprintf(beside, sizeof(beside), "%s" SUFFIX "%0*x", path, SUFFIX_DIGITS, random);
    if (mkdir(beside, 0700) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "the folder %s", beside);
    status = fill(request, beside, tls_chain, envelope_chain, bundle_pem, now_unix_s, err);
    if (status == STATUS_OK && renameat2(AT_FDCWD, beside, AT_FDCWD, path,
                                         exists ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0)
        status = error_set_errno(err, STATUS_IO, errno, "%s could not be put in place", dir);
    if (status == STATUS_OK)
        status = sync_parent(path, err);
    remove_folder(beside); /* the failed one, or the one that was replaced */
    return status;
}
