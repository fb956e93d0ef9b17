/*
 * identity_renew.c - what a process needs to replace its own identity while it runs.
 *
 * Not here: when (renewal.h), and who certifies (authority_service.h).
 */
#include "base/digest.h"
#include "identity/identity_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = {"svid.key", "svid.pem", "envelope.key", "envelope.pem",
                                    "bundle.pem"};

uint64_t identity_folder_state(const char *dir)
{
    enum { COUNT = sizeof(files) / sizeof(*files) };
    int64_t seen[COUNT][5] = {0};
    struct digest digest;
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; folder >= 0 && i < COUNT; i++) {
        struct stat there;
        if (fstatat(folder, files[i], &there, 0) != 0)
            continue;
        seen[i][0] = (int64_t)there.st_ino;
        seen[i][1] = (int64_t)there.st_size;
        seen[i][2] = (int64_t)there.st_dev;
        /* The change time also moves when a file is written twice within its size. */
        seen[i][3] = (int64_t)there.st_ctim.tv_sec;
        seen[i][4] = (int64_t)there.st_ctim.tv_nsec;
    }
    if (folder >= 0)
        close(folder);
    digest_of(seen, sizeof(seen), &digest);
    return load_u64le(digest.bytes);
}

/* Whose the first certificate of a chain is. */
static enum status check_id(const struct svid_chain *chain, const char *what, const char *wanted,
                            struct error *err)
{
    STACK_OF(X509) *decoded = nullptr;
    struct svid_info info;
    enum status status = svid_chain_decode(chain->certificates, chain->count, &decoded, err);
    if (status == STATUS_OK)
        status = svid_check_leaf(sk_X509_value(decoded, 0), &info, err);
    if (status == STATUS_OK && strcmp(info.id.text, wanted) != 0)
        status = error_set(err, STATUS_IDENTITY, "it is of %s, not of %s", info.id.text, wanted);
    sk_X509_pop_free(decoded, X509_free);
    if (status != STATUS_OK && status != STATUS_NO_MEMORY)
        status = error_prefix(err, STATUS_IDENTITY, "the new certificate of the %s key", what);
    return status;
}

static enum status read_bundle(const char *dir, struct bytes *bundle, struct error *err)
{
    uint8_t part[4096];
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fd =
        folder >= 0 ? openat(folder, "bundle.pem", O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    int number = fd < 0 ? errno : 0;
    enum status status = STATUS_OK;
    for (ssize_t got = 1; number == 0 && got != 0 && status == STATUS_OK;) {
        got = read(fd, part, sizeof(part));
        if (got > 0)
            status = bytes_append(bundle, part, (size_t)got);
        else if (got < 0 && errno != EINTR)
            number = errno;
    }
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    if (number != 0)
        return error_set_errno(err, STATUS_IO, number, "%s/bundle.pem", dir);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "%s/bundle.pem", dir);
}

enum status identity_install_renewed(const struct identity_request *request, const char *dir,
                                     const struct identity *current,
                                     const struct svid_chain *tls_chain,
                                     const struct svid_chain *envelope_chain, int64_t now_unix_s,
                                     struct error *err)
{
    struct bytes bundle;
    bytes_init(&bundle, TRUST_BUNDLE_BYTES_MAX);
    enum status status = check_id(tls_chain, "TLS", current->svid.id.text, err);
    if (status == STATUS_OK)
        status = check_id(envelope_chain, "envelope", current->svid.id.text, err);
    if (status == STATUS_OK)
        status = read_bundle(dir, &bundle, err);
    if (status == STATUS_OK)
        status = identity_install(request, dir, tls_chain, envelope_chain, bytes_slice(&bundle),
                                  now_unix_s, err);
    bytes_deinit(&bundle);
    return status;
}
