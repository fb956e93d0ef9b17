/*
 * authority_init.c - makes the folder of a new authority, whole or not at all.
 *
 * FORMAT is written last: a folder without it is none that authority_open takes. Not here: reading
 * it (authority.c).
 */
#include "identity/authority_certificate.h"
#include "identity/authority_files.h"
#include "identity/openssl_error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 6, PATH_TEXT_MAX = 4096 };

const struct authority_root_files authority_root_files[AUTHORITY_ROOTS] = {
    [IDENTITY_KEY_P256] = {"p256.key", "p256.pem", "EC", "Fedra root P-256"},
    [IDENTITY_KEY_ML_DSA_65] = {"ml-dsa-65.key", "ml-dsa-65.pem", "ML-DSA-65",
                                "Fedra root ML-DSA-65"},
};

/* A folder that is being filled, and what is to be removed where that fails. */
struct making {
    const char *dir;
    int fd;
    bool is_new;     /* it was not there before */
    bool is_changed; /* its mode was another one */
    mode_t mode;     /* that which it had */
    size_t count;
    const char *names[FILES_MAX]; /* written here */
};

static enum status status_of_errno(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

/* EXISTS where the folder has any entry. */
static enum status check_empty(const struct making *making, struct error *err)
{
    const int fd = openat(making->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : nullptr;
    if (folder == nullptr) {
        const int number = errno;
        if (fd >= 0)
            close(fd);
        return error_set_errno(err, STATUS_IO, number, "%s", making->dir);
    }
    enum status status = STATUS_OK;
    errno = 0;
    const struct dirent *entry = readdir(folder);
    while (entry != nullptr && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")))
        entry = readdir(folder);
    if (entry != nullptr)
        status = error_set(err, STATUS_EXISTS,
                           "%s is not empty; an authority is made in a new or an empty folder",
                           making->dir);
    else if (errno != 0)
        status = error_set_errno(err, STATUS_IO, errno, "%s", making->dir);
    closedir(folder);
    return status;
}

/* Makes the folder, or takes the empty one that is there; its mode is 0700 then. */
static enum status open_folder(struct making *making, struct error *err)
{
    making->is_new = mkdir(making->dir, 0700) == 0;
    if (!making->is_new && errno != EEXIST)
        return error_set_errno(err, status_of_errno(errno), errno, "the folder %s cannot be made",
                               making->dir);
    making->fd = open(making->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (making->fd < 0 && errno == ENOTDIR)
        return error_set(err, STATUS_EXISTS, "%s is there and is no folder", making->dir);
    if (making->fd < 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", making->dir);
    struct stat there;
    if (fstat(making->fd, &there) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", making->dir);
    making->mode = there.st_mode & 07777;
    const enum status status = making->is_new ? STATUS_OK : check_empty(making, err);
    if (status != STATUS_OK)
        return status;
    if (fchmod(making->fd, 0700) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s", making->dir);
    making->is_changed = !making->is_new;
    return STATUS_OK;
}

/* Takes away what was made. */
static void undo(const struct making *making)
{
    for (size_t i = 0; i < making->count; i++)
        (void)unlinkat(making->fd, making->names[i], 0);
    if (making->is_new)
        (void)rmdir(making->dir);
    else if (making->is_changed)
        (void)fchmod(making->fd, making->mode);
}

/* Writes a new file and makes it durable; name is static. */
static enum status write_file(struct making *making, const char *name, mode_t mode,
                              struct slice content, struct error *err)
{
    const int fd = openat(making->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set_errno(err, errno == EEXIST ? STATUS_EXISTS : status_of_errno(errno), errno,
                               "%s/%s", making->dir, name);
    making->names[making->count++] = name;
    int number = fchmod(fd, mode) == 0 ? 0 : errno;
    for (size_t done = 0; number == 0 && done < content.size;) {
        const ssize_t size = write(fd, content.data + done, content.size - done);
        if (size >= 0)
            done += (size_t)size;
        else if (errno != EINTR)
            number = errno;
    }
    if (number == 0 && fsync(fd) != 0)
        number = errno;
    if (close(fd) != 0 && number == 0)
        number = errno;
    if (number != 0)
        return error_set_errno(err, status_of_errno(number), number, "%s/%s", making->dir, name);
    return STATUS_OK;
}

static enum status write_bio(struct making *making, const char *name, mode_t mode, BIO *bio,
                             struct error *err)
{
    char *data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return write_file(making, name, mode, (struct slice){(const uint8_t *)data, (size_t)size}, err);
}

/* Makes one root, writes its two files, appends its certificate to bundle. */
static enum status make_root(struct making *making, enum identity_key_kind kind, const char *uri,
                             int64_t now_unix_s, BIO *bundle, struct error *err)
{
    const struct authority_root_files *files = &authority_root_files[kind];
    enum status status = STATUS_OK;
    X509 *certificate = nullptr;
    BIO *key_pem = BIO_new(BIO_s_secmem()); /* overwritten when it is freed */
    BIO *pem = BIO_new(BIO_s_mem());
    EVP_PKEY *key = kind == IDENTITY_KEY_P256
                        ? EVP_PKEY_Q_keygen(nullptr, nullptr, files->algorithm, "P-256")
                        : EVP_PKEY_Q_keygen(nullptr, nullptr, files->algorithm);
    if (key_pem == nullptr || pem == nullptr || key == nullptr) {
        status = error_set_openssl(err, STATUS_NO_MEMORY, "no %s key", files->algorithm);
        goto out;
    }
    const struct certificate_plan plan = {.uri = uri,
                                          .common_name = files->common_name,
                                          .key = key,
                                          .not_before_unix_s = now_unix_s - AUTHORITY_BACKDATE_S,
                                          .not_after_unix_s = now_unix_s + AUTHORITY_ROOT_TTL_S};
    status = certificate_make(&plan, &certificate, err);
    if (status != STATUS_OK)
        goto out;
    if (PEM_write_bio_PKCS8PrivateKey(key_pem, key, nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
        PEM_write_bio_X509(pem, certificate) != 1 || PEM_write_bio_X509(bundle, certificate) != 1) {
        status = error_set_openssl(err, STATUS_NO_MEMORY, "%s cannot be encoded", files->key);
        goto out;
    }
    status = write_bio(making, files->key, 0600, key_pem, err);
    if (status == STATUS_OK)
        status = write_bio(making, files->certificate, 0644, pem, err);
out:
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(pem);
    BIO_free(key_pem);
    return status;
}

/* Makes the names durable: those in the folder, and the folder's own in its parent. */
static enum status sync_folders(const struct making *making, struct error *err)
{
    if (fsync(making->fd) != 0)
        return error_set_errno(err, status_of_errno(errno), errno, "%s", making->dir);
    const int parent = openat(making->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return error_set_errno(err, STATUS_IO, errno, "the folder of %s", making->dir);
    const int number = fsync(parent) == 0 ? 0 : errno;
    close(parent);
    if (number != 0)
        return error_set_errno(err, status_of_errno(number), number, "the folder of %s",
                               making->dir);
    return STATUS_OK;
}

static enum status fill_folder(struct making *making, const char *trust_domain, int64_t now_unix_s,
                               struct error *err)
{
    char uri[sizeof "spiffe://" + SPIFFE_ID_MAX];
    char format[sizeof AUTHORITY_FORMAT_FIRST + sizeof AUTHORITY_FORMAT_DOMAIN + SPIFFE_ID_MAX];
    snprintf(uri, sizeof uri, "spiffe://%s", trust_domain);
    const int size = snprintf(format, sizeof format, "%s%s%s\n", AUTHORITY_FORMAT_FIRST,
                              AUTHORITY_FORMAT_DOMAIN, trust_domain);
    BIO *bundle = BIO_new(BIO_s_mem());
    enum status status = bundle != nullptr
                             ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "no memory for an authority");
    for (int kind = 0; status == STATUS_OK && kind < AUTHORITY_ROOTS; kind++)
        status = make_root(making, (enum identity_key_kind)kind, uri, now_unix_s, bundle, err);
    if (status == STATUS_OK)
        status = write_bio(making, AUTHORITY_FILE_BUNDLE, 0644, bundle, err);
    if (status == STATUS_OK)
        status = write_file(making, AUTHORITY_FILE_FORMAT, 0644,
                            (struct slice){(const uint8_t *)format, (size_t)size}, err);
    if (status == STATUS_OK)
        status = sync_folders(making, err);
    BIO_free(bundle);
    return status;
}

enum status authority_init(const char *dir, const char *trust_domain, int64_t now_unix_s,
                           struct error *err)
{
    struct making making = {.dir = dir, .fd = -1};
    struct spiffe_id id;
    enum status status = spiffe_trust_domain_check(trust_domain, err);
    /* At least the shortest of Fedra's ids must fit. */
    if (status == STATUS_OK)
        status = spiffe_id_make(trust_domain, SPIFFE_ROLE_COORDINATOR, nullptr, &id, err);
    if (status != STATUS_OK)
        return status;
    /* Dates are of four digits' years (RFC 5280 section 4.1.2.5). */
    if (now_unix_s < AUTHORITY_BACKDATE_S ||
        now_unix_s > INT64_C(253402300799) - AUTHORITY_ROOT_TTL_S)
        return error_set(err, STATUS_INVAL, "the clock is at %lld s; right is a year up to 9989",
                         (long long)now_unix_s);
    if (dir[0] == 0 || strlen(dir) >= PATH_TEXT_MAX)
        return error_set(err, STATUS_INVAL,
                         "the name of the folder has %zu bytes; right are 1 to "
                         "%d",
                         strlen(dir), PATH_TEXT_MAX - 1);
    status = open_folder(&making, err);
    if (status == STATUS_OK)
        status = fill_folder(&making, trust_domain, now_unix_s, err);
    if (status != STATUS_OK)
        undo(&making);
    if (making.fd >= 0)
        close(making.fd);
    return status;
}
