/*
 * outbox_file.c - an outbox in a folder: two slots, an epoch file, a log of receipts.
 *
 * A slot is a header block, room for the envelope, and the payload, at fixed places:
 *   0 magic, 8 u32 format, 16 u64 sequence, 24 u64 round, 32 u64 attempt, 40 payload digest,
 *   72 u64 envelope size, 80 u64 payload size, 88 SHA-256 of envelope and payload,
 *   120 SHA-256 of bytes [0, 120); 4096 envelope; 20480 payload.
 * All of it is written in place and synced once; a slot counts only if both digests match, so the
 * order in which the disk takes the pieces does not matter.
 */
#include "store/outbox.h"

#include "base/text.h"
#include "store/crash_point.h"
#include "store/durable_file.h"
#include "store/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SLOT_FORMAT = 1,
    SIGNED_BYTES = 120, /* of the header, covered by its digest */
    HEADER_BYTES = SIGNED_BYTES + DIGEST_BYTES,
    ENVELOPE_OFFSET = 4096,
    PAYLOAD_OFFSET = ENVELOPE_OFFSET + OUTBOX_ENVELOPE_BYTES_MAX,
    LINE_BYTES_MAX = 512,
};

static const uint8_t slot_magic[8] = {'F', 'E', 'D', 'R', 'A', 'O', 'B', 'X'};

struct outbox_file {
    struct outbox base;
    char folder[DURABLE_PATH_MAX];
    int lock_fd;
    int log_fd;
    int slot_fds[2];
    uint64_t log_size;
    bool is_torn;           /* half a line is behind log_size */
    bool is_unnoted;        /* the log has no line yet of what became of the pending update */
    uint64_t last_sequence; /* the highest ever seen, also in the log */
    uint64_t epoch;
    int current;                 /* the slot of the pending update, -1: none */
    struct outbox_update update; /* its slices point into the mapping */
    void *mapping;
    size_t mapping_size;
};

static enum status path_of(const struct outbox_file *outbox, const char *name,
                           char ret_path[static DURABLE_PATH_MAX], struct error *err)
{
    if ((size_t)snprintf(ret_path, DURABLE_PATH_MAX, "%s/%s", outbox->folder, name) >=
        DURABLE_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "the path %s is too long", outbox->folder);
    return STATUS_OK;
}

/* 0, or the error number. */
static int write_at(int fd, struct slice slice, uint64_t offset)
{
    for (size_t done = 0; done < slice.size;) {
        const ssize_t size =
            pwrite(fd, slice.data + done, slice.size - done, (off_t)(offset + done));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno;
        done += (size_t)size;
    }
    return 0;
}

static void unmap(struct outbox_file *outbox)
{
    if (outbox->mapping != nullptr)
        munmap(outbox->mapping, outbox->mapping_size);
    outbox->mapping = nullptr;
}

static void encode_header(const struct outbox_update *update, const struct digest *content,
                          uint8_t ret_header[static HEADER_BYTES])
{
    struct digest digest;
    memset(ret_header, 0, HEADER_BYTES);
    memcpy(ret_header, slot_magic, sizeof(slot_magic));
    store_u32le(ret_header + 8, SLOT_FORMAT);
    store_u64le(ret_header + 16, update->sequence);
    store_u64le(ret_header + 24, update->key.round);
    store_u64le(ret_header + 32, update->key.attempt);
    memcpy(ret_header + 40, update->key.payload_digest.bytes, DIGEST_BYTES);
    store_u64le(ret_header + 72, update->envelope.size);
    store_u64le(ret_header + 80, update->payload.size);
    memcpy(ret_header + 88, content->bytes, DIGEST_BYTES);
    digest_of(ret_header, SIGNED_BYTES, &digest);
    memcpy(ret_header + SIGNED_BYTES, digest.bytes, DIGEST_BYTES);
}

/* Whether the mapped slot of size bytes holds a whole update; then ret_update shows into it. */
static bool decode_slot(const uint8_t *slot, uint64_t size, struct hasher *hasher,
                        struct outbox_update *ret_update)
{
    struct digest digest;
    digest_of(slot, SIGNED_BYTES, &digest);
    if (memcmp(slot, slot_magic, sizeof(slot_magic)) != 0 ||
        memcmp(digest.bytes, slot + SIGNED_BYTES, DIGEST_BYTES) != 0 ||
        load_u32le(slot + 8) != SLOT_FORMAT)
        return false;
    const uint64_t envelope_size = load_u64le(slot + 72), payload_size = load_u64le(slot + 80);
    if (envelope_size == 0 || envelope_size > OUTBOX_ENVELOPE_BYTES_MAX ||
        payload_size > size - PAYLOAD_OFFSET)
        return false;
    struct outbox_update update = {
        .sequence = load_u64le(slot + 16),
        .key = {.round = load_u64le(slot + 24), .attempt = load_u64le(slot + 32)},
        .envelope = {slot + ENVELOPE_OFFSET, envelope_size},
        .payload = {slot + PAYLOAD_OFFSET, payload_size},
    };
    memcpy(update.key.payload_digest.bytes, slot + 40, DIGEST_BYTES);
    hasher_update(hasher, update.envelope.data, envelope_size);
    hasher_update(hasher, update.payload.data, payload_size);
    hasher_finish(hasher, &digest);
    if (update.sequence == 0 || memcmp(digest.bytes, slot + 88, DIGEST_BYTES) != 0)
        return false;
    *ret_update = update;
    return true;
}

/* Opens a slot's file and takes its update where it is whole and newer than the one so far. */
static enum status load_slot(struct outbox_file *outbox, int index, struct hasher *hasher,
                             struct error *err)
{
    char path[DURABLE_PATH_MAX];
    enum status status = path_of(outbox, index == 0 ? "slot-0" : "slot-1", path, err);
    if (status != STATUS_OK)
        return status;
    struct stat info;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fstat(fd, &info) != 0) {
        const int error_number = errno;
        if (fd >= 0)
            close(fd);
        return error_set_errno(err, durable_status_of(error_number), error_number, "cannot open %s",
                               path);
    }
    outbox->slot_fds[index] = fd;
    if (info.st_size < PAYLOAD_OFFSET)
        return STATUS_OK;
    const size_t size = (size_t)info.st_size;
    void *const mapping = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "cannot map %s", path);
    struct outbox_update update;
    if (decode_slot(mapping, size, hasher, &update) && update.sequence > outbox->update.sequence) {
        unmap(outbox);
        outbox->mapping = mapping;
        outbox->mapping_size = size;
        outbox->update = update;
        outbox->current = index;
    } else {
        munmap(mapping, size);
    }
    return STATUS_OK;
}

/* Grows a slot's file to hold size bytes, taking the space from the disk now. 0 or errno. */
static int reserve(int fd, uint64_t size)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return errno;
    if ((uint64_t)info.st_size >= size)
        return 0;
    if (fallocate(fd, 0, 0, (off_t)size) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return errno;
    return ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
}

/* Writes a whole slot and syncs it. 0 or errno. */
static int write_slot(int fd, const uint8_t header[static HEADER_BYTES], struct slice envelope,
                      const struct slice *payload, size_t count)
{
    crash_point("outbox.before_write");
    int error_number = write_at(fd, (struct slice){header, HEADER_BYTES}, 0);
    if (error_number == 0)
        error_number = write_at(fd, envelope, ENVELOPE_OFFSET);
    uint64_t offset = PAYLOAD_OFFSET;
    for (size_t i = 0; i < count && error_number == 0; i++) {
        error_number = write_at(fd, payload[i], offset);
        offset += payload[i].size;
    }
    crash_point("outbox.before_sync");
    if (error_number == 0 && fdatasync(fd) != 0)
        error_number = errno;
    return error_number;
}

/* Starts the next log file; the one before the last is gone. 0 or errno. */
static int open_log(struct outbox_file *outbox, bool rotate)
{
    char path[DURABLE_PATH_MAX], old[DURABLE_PATH_MAX + 2];
    if (path_of(outbox, "receipts.log", path, nullptr) != STATUS_OK)
        return ENAMETOOLONG;
    snprintf(old, sizeof(old), "%s.1", path);
    if (rotate && rename(path, old) != 0)
        return errno;
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat info;
    if (fd < 0)
        return errno;
    if (fstat(fd, &info) != 0) {
        const int error_number = errno;
        close(fd);
        return error_number;
    }
    if (outbox->log_fd >= 0)
        close(outbox->log_fd);
    outbox->log_fd = fd;
    outbox->log_size = (uint64_t)info.st_size;
    outbox->is_torn = false;
    return 0;
}

/* Cuts half a line off, where that failed before. 0 or errno. */
static int cut_torn(struct outbox_file *outbox)
{
    if (outbox->is_torn && ftruncate(outbox->log_fd, (off_t)outbox->log_size) != 0)
        return errno;
    outbox->is_torn = false;
    return 0;
}

/* Appends the line of the update, whole or not at all. */
static enum status append_receipt(struct outbox_file *outbox, const struct outbox_update *update,
                                  struct error *err)
{
    char line[LINE_BYTES_MAX], hex[DIGEST_HEX_MAX];
    digest_to_hex(&update->key.payload_digest, hex);
    const int length = snprintf(
        line, sizeof(line), "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s %s %s\n", update->sequence,
        update->key.round, update->key.attempt, hex, outbox_state_name(update->state),
        update->detail[0] == '\0' ? "-" : update->detail);
    int error_number = 0;
    if (outbox->log_size + (uint64_t)length > OUTBOX_LOG_BYTES_MAX)
        error_number = open_log(outbox, true);
    if (error_number == 0)
        error_number = cut_torn(outbox);
    if (error_number == 0) {
        const ssize_t size = write(outbox->log_fd, line, (size_t)length);
        if (size != length) {
            error_number = size < 0 ? errno : ENOSPC;
            outbox->is_torn = true;
            (void)cut_torn(outbox); /* else before the next line, or by the next start */
        }
    }
    if (error_number != 0)
        return error_set_errno(err, durable_status_of(error_number), error_number,
                               "cannot append to %s/receipts.log", outbox->folder);
    outbox->log_size += (uint64_t)length;
    return STATUS_OK;
}

/* What the disk did not take before: an update is not replaced while its end stands nowhere. */
static enum status note_missed(struct outbox_file *outbox, struct error *err)
{
    if (!outbox->is_unnoted)
        return STATUS_OK;
    const enum status status = append_receipt(outbox, &outbox->update, err);
    outbox->is_unnoted = status != STATUS_OK;
    return status;
}

static enum status digest_content(struct slice envelope, const struct slice *payload, size_t count,
                                  struct digest *ret_digest, struct error *err)
{
    struct hasher *hasher = nullptr;
    if (hasher_create(&hasher) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a digest");
    hasher_update(hasher, envelope.data, envelope.size);
    for (size_t i = 0; i < count; i++)
        hasher_update(hasher, payload[i].data, payload[i].size);
    hasher_finish(hasher, ret_digest);
    hasher_destroy(hasher);
    return STATUS_OK;
}

static enum status put(struct outbox *base, const struct outbox_key *key, struct slice envelope,
                       const struct slice *payload, size_t count, uint64_t *ret_sequence,
                       struct error *err)
{
    struct outbox_file *const outbox = (struct outbox_file *)base;
    const int index = outbox->current == 0 ? 1 : 0;
    const int fd = outbox->slot_fds[index];
    struct outbox_update update = {.sequence = outbox->last_sequence + 1, .key = *key};
    struct digest content;
    uint8_t header[HEADER_BYTES];
    for (size_t i = 0; i < count; i++)
        update.payload.size += payload[i].size;
    update.envelope.size = envelope.size;
    enum status status = note_missed(outbox, err);
    if (status == STATUS_OK)
        status = digest_content(envelope, payload, count, &content, err);
    if (status != STATUS_OK)
        return status;
    encode_header(&update, &content, header);
    const size_t size = PAYLOAD_OFFSET + update.payload.size;
    int error_number = reserve(fd, size);
    if (error_number != 0)
        return error_set_errno(err, durable_status_of(error_number), error_number,
                               "cannot keep an update of %zu bytes in %s", size, outbox->folder);
    uint8_t *const mapping = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED)
        return error_set_errno(err, STATUS_NO_MEMORY, errno, "cannot map a slot of %zu bytes",
                               size);
    error_number = write_slot(fd, header, envelope, payload, count);
    if (error_number != 0) {
        /* What was said to have failed must not come back as the newest at the next start. */
        const uint8_t zero[HEADER_BYTES] = {0};
        (void)write_at(fd, (struct slice){zero, sizeof(zero)}, 0);
        munmap(mapping, size);
        return error_set_errno(err, durable_status_of(error_number), error_number,
                               "cannot keep an update of %zu bytes in %s", size, outbox->folder);
    }
    crash_point("outbox.after_sync");
    update.envelope.data = mapping + ENVELOPE_OFFSET;
    update.payload.data = mapping + PAYLOAD_OFFSET;
    unmap(outbox);
    outbox->mapping = mapping;
    outbox->mapping_size = size;
    outbox->update = update;
    outbox->current = index;
    outbox->last_sequence = update.sequence;
    (void)append_receipt(outbox, &update, nullptr); /* HELD is what no line means, too */
    *ret_sequence = update.sequence;
    return STATUS_OK;
}

static enum status get(struct outbox *base, struct outbox_update *ret_update, struct error *err)
{
    const struct outbox_file *const outbox = (const struct outbox_file *)base;
    if (outbox->current < 0)
        return error_set(err, STATUS_NOT_FOUND, "no update is kept in %s", outbox->folder);
    *ret_update = outbox->update;
    return STATUS_OK;
}

static enum status set_state(struct outbox *base, uint64_t sequence, enum outbox_state state,
                             const char *detail, struct error *err)
{
    struct outbox_file *const outbox = (struct outbox_file *)base;
    struct outbox_update *const update = &outbox->update;
    update->state = state;
    text_escape(detail, strlen(detail), update->detail, sizeof(update->detail));
    outbox->is_unnoted = true;
    return note_missed(outbox, err);
}

static uint64_t epoch_of(const struct outbox *base)
{
    return ((const struct outbox_file *)base)->epoch;
}

static enum status raise_epoch(struct outbox *base, uint64_t epoch, struct error *err)
{
    struct outbox_file *const outbox = (struct outbox_file *)base;
    char path[DURABLE_PATH_MAX], text[64];
    enum status status = path_of(outbox, "epoch", path, err);
    if (status != STATUS_OK)
        return status;
    const int length = snprintf(text, sizeof(text), "fedra-epoch 1 %" PRIu64 "\n", epoch);
    status =
        durable_file_write(path, &(struct slice){(const uint8_t *)text, (size_t)length}, 1, err);
    if (status == STATUS_OK)
        outbox->epoch = epoch;
    return status;
}

static enum status load_epoch(struct outbox_file *outbox, struct error *err)
{
    char path[DURABLE_PATH_MAX], again[64];
    struct bytes content;
    unsigned version = 0;
    uint64_t epoch = 0;
    bytes_init(&content, 64);
    enum status status = path_of(outbox, "epoch", path, err);
    if (status == STATUS_OK)
        status = durable_file_read(path, &content, err);
    if (status == STATUS_OK)
        status = bytes_append(&content, "", 1);
    if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    } else if (status == STATUS_OK || status == STATUS_LIMIT) {
        const char *const text = status == STATUS_OK ? (const char *)content.data : "";
        const int count = sscanf(text, "fedra-epoch %u %" SCNu64, &version, &epoch);
        snprintf(again, sizeof(again), "fedra-epoch 1 %" PRIu64 "\n", epoch);
        if (count >= 1 && version > 1)
            status = error_set(err, STATUS_VERSION, "%s has version %u; 1 is known", path, version);
        else if (strcmp(text, again) != 0)
            status =
                error_set(err, STATUS_CORRUPT,
                          "%s is damaged; it should be one line, \"fedra-epoch 1 NUMBER\"", path);
        else
            status = STATUS_OK;
    }
    bytes_deinit(&content);
    if (status == STATUS_OK)
        outbox->epoch = epoch;
    return status;
}

/* Takes the state out of one line where it is about the pending update. */
static bool apply_line(struct outbox_file *outbox, const char *line)
{
    uint64_t sequence = 0, round = 0, attempt = 0;
    char hex[DIGEST_HEX_MAX], name[16], detail[OUTBOX_DETAIL_MAX], own[DIGEST_HEX_MAX];
    struct outbox_update *const update = &outbox->update;
    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %64s %15s %255[^\n]", &sequence, &round,
               &attempt, hex, name, detail) != 6)
        return false;
    if (sequence > outbox->last_sequence && sequence < UINT64_MAX)
        outbox->last_sequence = sequence;
    digest_to_hex(&update->key.payload_digest, own);
    if (outbox->current < 0 || sequence != update->sequence || strcmp(hex, own) != 0)
        return false;
    for (int state = OUTBOX_HELD; state <= OUTBOX_REFUSED; state++) {
        if (strcmp(name, outbox_state_name((enum outbox_state)state)) != 0)
            continue;
        update->state = (enum outbox_state)state;
        snprintf(update->detail, sizeof(update->detail), "%s",
                 strcmp(detail, "-") == 0 ? "" : detail);
        return true;
    }
    return false;
}

/* Reads a log; ret_size is where its last whole line ends. A missing or too long one is empty. */
static enum status load_log(struct outbox_file *outbox, const char *name, bool *ret_found,
                            uint64_t *ret_size, struct error *err)
{
    char path[DURABLE_PATH_MAX];
    struct bytes content;
    bytes_init(&content, 2 * (size_t)OUTBOX_LOG_BYTES_MAX);
    enum status status = path_of(outbox, name, path, err);
    if (status == STATUS_OK)
        status = durable_file_read(path, &content, err);
    if (status == STATUS_NOT_FOUND || status == STATUS_LIMIT) {
        content.size = 0;
        status = STATUS_OK;
    }
    size_t start = 0;
    for (size_t i = 0; i < content.size && status == STATUS_OK; i++) {
        if (content.data[i] != '\n')
            continue;
        content.data[i] = '\0';
        if (apply_line(outbox, (const char *)content.data + start))
            *ret_found = true;
        start = i + 1;
    }
    bytes_deinit(&content);
    *ret_size = start;
    return status;
}

static enum status load_logs(struct outbox_file *outbox, struct error *err)
{
    bool found = false, found_older = false;
    uint64_t size = 0, older_size = 0;
    outbox->last_sequence = outbox->update.sequence;
    /* The older one first: later lines win. */
    enum status status = load_log(outbox, "receipts.log.1", &found_older, &older_size, err);
    if (status == STATUS_OK)
        status = load_log(outbox, "receipts.log", &found, &size, err);
    if (status != STATUS_OK)
        return status;
    int error_number = open_log(outbox, false);
    if (error_number == 0 && outbox->log_size > size) {
        /* A torn last line is cut off. */
        error_number = ftruncate(outbox->log_fd, (off_t)size) == 0 ? 0 : errno;
        outbox->log_size = size;
    }
    if (error_number != 0)
        return error_set_errno(err, durable_status_of(error_number), error_number,
                               "cannot open %s/receipts.log", outbox->folder);
    return STATUS_OK;
}

static void close_outbox(struct outbox *base)
{
    struct outbox_file *const outbox = (struct outbox_file *)base;
    (void)!note_missed(outbox, nullptr); /* the last attempt; a new start is told again */
    unmap(outbox);
    for (int i = 0; i < 2; i++)
        if (outbox->slot_fds[i] >= 0)
            close(outbox->slot_fds[i]);
    if (outbox->log_fd >= 0)
        close(outbox->log_fd);
    lock_file_close(outbox->lock_fd);
    free(outbox);
}

static const struct outbox_ops file_ops = {
    .name = "file",
    .put = put,
    .get = get,
    .set_state = set_state,
    .epoch = epoch_of,
    .raise_epoch = raise_epoch,
    .close = close_outbox,
};

enum status outbox_file_open(const char *folder, struct outbox **ret_outbox, struct error *err)
{
    struct outbox_file *const outbox = calloc(1, sizeof(*outbox));
    struct hasher *hasher = nullptr;
    if (outbox == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an outbox");
    outbox->base.ops = &file_ops;
    outbox->lock_fd = outbox->log_fd = outbox->slot_fds[0] = outbox->slot_fds[1] = -1;
    outbox->current = -1;
    char path[DURABLE_PATH_MAX];
    enum status status = durable_folder_make(folder, err);
    if (status == STATUS_OK) {
        snprintf(outbox->folder, sizeof(outbox->folder), "%s", folder);
        status = path_of(outbox, "lock", path, err);
    }
    if (status == STATUS_OK)
        status = lock_file_open(path, &outbox->lock_fd, err);
    if (status == STATUS_OK)
        status = durable_folder_clean(folder, err);
    if (status == STATUS_OK && hasher_create(&hasher) != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a digest");
    for (int i = 0; i < 2 && status == STATUS_OK; i++)
        status = load_slot(outbox, i, hasher, err);
    if (status == STATUS_OK)
        status = load_epoch(outbox, err);
    if (status == STATUS_OK)
        status = load_logs(outbox, err);
    if (status == STATUS_OK)
        status = durable_folder_sync(folder, err);
    hasher_destroy(hasher);
    if (status == STATUS_OK)
        *ret_outbox = &outbox->base;
    else
        close_outbox(&outbox->base);
    return status;
}
