/*
 * store_snapshot.c - see store_snapshot.h. The formats are those of sqlite.org/fileformat2.html,
 * sections 1.3 (the database's header) and 4 (the write-ahead log).
 *
 * Why the copy is whole: pages of the database change only when frames of the log are copied into
 * it. The log is copied after the database and, where its header is still the same, holds every
 * frame that may have been copied meanwhile; putting the frames in mends what was copied half.
 */
#include "store/store_snapshot.h"

#include "base/bytes.h"
#include "store/durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    ATTEMPTS_MAX = 100,
    WAIT_NS = 20000000,
    HEADER_BYTES = 100, /* of a database */
    LOG_HEADER_BYTES = 32,
    FRAME_HEADER_BYTES = 24,
    PAGE_BYTES_MAX = 65536,
    LOG_MAGIC = 0x377f0682, /* the last bit: words are big-endian */
    LOG_VERSION = 3007000,
    COPY_BYTES = 1 << 18,
};

/* What tells one state of a file from another. */
struct stamp {
    bool exists;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* Where the copy is made. */
struct work {
    const char *path;
    char log_path[DURABLE_PATH_MAX];
    char folder[DURABLE_PATH_MAX];
    char copy_path[DURABLE_PATH_MAX];
    int copy;     /* of the database */
    int log_copy; /* no name */
    struct store_snapshot snapshot;
};

/* Of the frames seen so far. */
struct log_walk {
    uint32_t page_bytes;
    bool big_endian;
    uint8_t salts[8];
    uint32_t sums[2];
};

static uint32_t load_u32be(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static struct stamp stamp_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return (struct stamp){0};
    return (struct stamp){true, info.st_ino, info.st_size, info.st_mtim};
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->exists == b->exists && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Reads size bytes at offset; fewer only at the file's end. -1 on an error. */
static ssize_t read_at(int fd, uint8_t *out, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(fd, out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool write_at(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        const ssize_t put = pwrite(fd, data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static enum status copy_error(const struct work *work, struct error *err)
{
    return error_set_errno(err, durable_status_of(errno), errno,
                           "cannot write a copy of %s in %s (TMPDIR says where)", work->path,
                           work->folder);
}

/* Copies a whole file over what was in to. NOT_FOUND. */
static enum status copy_file(const struct work *work, const char *path, int to, struct error *err)
{
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return error_set_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, errno,
                               "cannot open %s", path);
    uint8_t *const buffer = malloc(COPY_BYTES);
    enum status status =
        buffer != nullptr ? STATUS_OK
                          : error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    if (status == STATUS_OK && ftruncate(to, 0) != 0)
        status = copy_error(work, err);
    for (uint64_t offset = 0; status == STATUS_OK;) {
        const ssize_t got = read_at(from, buffer, COPY_BYTES, offset);
        if (got < 0)
            status = error_set_errno(err, STATUS_IO, errno, "cannot read %s", path);
        else if (!write_at(to, buffer, (size_t)got, offset))
            status = copy_error(work, err);
        if (got < COPY_BYTES)
            break;
        offset += (uint64_t)got;
    }
    free(buffer);
    close(from);
    return status;
}

/* The log's header as it is now; all zero where there is none. */
static void read_log_header(const struct work *work, uint8_t ret_header[static LOG_HEADER_BYTES])
{
    memset(ret_header, 0, LOG_HEADER_BYTES);
    const int fd = open(work->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!read_at(fd, ret_header, LOG_HEADER_BYTES, 0);
    close(fd);
}

static void add_sums(struct log_walk *walk, const uint8_t *data, size_t size)
{
    uint32_t a = walk->sums[0];
    uint32_t b = walk->sums[1];
    for (size_t i = 0; i < size; i += 8) {
        a += (walk->big_endian ? load_u32be(data + i) : load_u32le(data + i)) + b;
        b += (walk->big_endian ? load_u32be(data + i + 4) : load_u32le(data + i + 4)) + a;
    }
    walk->sums[0] = a;
    walk->sums[1] = b;
}

/* False where the header is not one that SQLite takes. */
static bool begin_walk(const uint8_t *header, struct log_walk *walk)
{
    const uint32_t magic = load_u32be(header);
    const uint32_t page_bytes = load_u32be(header + 8);
    *walk = (struct log_walk){.page_bytes = page_bytes, .big_endian = (magic & 1) != 0};
    memcpy(walk->salts, header + 16, sizeof(walk->salts));
    add_sums(walk, header, 24);
    return (magic & ~1U) == LOG_MAGIC && load_u32be(header + 4) == LOG_VERSION &&
           page_bytes >= 512 && page_bytes <= PAGE_BYTES_MAX &&
           (page_bytes & (page_bytes - 1)) == 0 && load_u32be(header + 24) == walk->sums[0] &&
           load_u32be(header + 28) == walk->sums[1];
}

enum frame_kind { FRAME_GOOD, FRAME_OLD, FRAME_BAD };

/* frame: its header, then the page. */
static enum frame_kind judge_frame(struct log_walk *walk, const uint8_t *frame)
{
    const bool first_half = memcmp(frame + 8, walk->salts, 4) == 0;
    const bool second_half = memcmp(frame + 12, walk->salts + 4, 4) == 0;
    if (!first_half && !second_half)
        return FRAME_OLD; /* of a generation before: the log was begun anew over it */
    if (!first_half || !second_half || load_u32be(frame) == 0)
        return FRAME_BAD;
    add_sums(walk, frame, 8);
    add_sums(walk, frame + FRAME_HEADER_BYTES, walk->page_bytes);
    return load_u32be(frame + 16) == walk->sums[0] && load_u32be(frame + 20) == walk->sums[1]
               ? FRAME_GOOD
               : FRAME_BAD;
}

static uint64_t frame_offset(const struct log_walk *walk, uint64_t index)
{
    return LOG_HEADER_BYTES + index * (FRAME_HEADER_BYTES + (uint64_t)walk->page_bytes);
}

/* How many frames there are up to the last commit, and the database's pages then. */
static enum status find_commit(struct work *work, struct log_walk *walk, uint8_t *frame,
                               uint64_t *ret_frames, uint32_t *ret_pages, struct error *err)
{
    struct store_snapshot *const snapshot = &work->snapshot;
    const size_t size = FRAME_HEADER_BYTES + walk->page_bytes;
    bool ended = false;
    *ret_frames = 0;
    for (snapshot->frame_count = 0;; snapshot->frame_count++) {
        const uint64_t index = snapshot->frame_count;
        const ssize_t got = read_at(work->log_copy, frame, size, frame_offset(walk, index));
        if (got < 0)
            return error_set_errno(err, STATUS_IO, errno, "cannot read a copy of %s",
                                   work->log_path);
        if ((size_t)got < size)
            return STATUS_OK; /* what is left is no whole frame: it was never committed */
        if (ended) {          /* behind the end only what is older may stand */
            if (memcmp(frame + 8, walk->salts, sizeof(walk->salts)) == 0 &&
                snapshot->log_damage[0] == 0)
                snprintf(snapshot->log_damage, sizeof(snapshot->log_damage),
                         "frame %llu does not follow the frame before it",
                         (unsigned long long)index + 1);
            continue;
        }
        const enum frame_kind kind = judge_frame(walk, frame);
        ended = kind != FRAME_GOOD;
        if (kind == FRAME_BAD)
            snprintf(snapshot->log_damage, sizeof(snapshot->log_damage),
                     "the checksum of frame %llu does not fit it (page %u)",
                     (unsigned long long)index + 1, load_u32be(frame));
        if (kind == FRAME_GOOD && load_u32be(frame + 4) > 0) {
            *ret_frames = index + 1;
            *ret_pages = load_u32be(frame + 4);
        }
    }
}

/* Puts the committed frames of the copied log into the copied database. */
static enum status apply_log(struct work *work, struct error *err)
{
    struct store_snapshot *const snapshot = &work->snapshot;
    uint8_t header[LOG_HEADER_BYTES];
    struct log_walk walk;
    uint32_t pages = 0;
    const ssize_t got = read_at(work->log_copy, header, sizeof(header), 0);
    if (got == 0)
        return STATUS_OK;
    if (got < LOG_HEADER_BYTES || !begin_walk(header, &walk)) {
        snprintf(snapshot->log_damage, sizeof(snapshot->log_damage),
                 "its header is not one of a log, or its checksum does not fit");
        return STATUS_OK;
    }
    const size_t size = FRAME_HEADER_BYTES + walk.page_bytes;
    uint8_t *const frame = malloc(size);
    if (frame == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    enum status status = find_commit(work, &walk, frame, &snapshot->frames, &pages, err);
    for (uint64_t i = 0; i < snapshot->frames && status == STATUS_OK; i++) {
        const bool read =
            read_at(work->log_copy, frame, size, frame_offset(&walk, i)) == (ssize_t)size;
        const uint64_t page = load_u32be(frame);
        if (!read || !write_at(work->copy, frame + FRAME_HEADER_BYTES, walk.page_bytes,
                               (page - 1) * walk.page_bytes))
            status = copy_error(work, err);
    }
    if (status == STATUS_OK && snapshot->frames > 0 &&
        ftruncate(work->copy, (off_t)pages * walk.page_bytes) != 0)
        status = copy_error(work, err);
    free(frame);
    return status;
}

/* SQLite is to read the copy as a database without a log. */
static enum status check_header(struct work *work, struct error *err)
{
    static const char magic[] = "SQLite format 3";
    enum { WRITE_VERSION = 18, READ_VERSION = 19, VERSION_PLAIN = 1, VERSION_LOG = 2 };
    struct store_snapshot *const snapshot = &work->snapshot;
    uint8_t header[HEADER_BYTES];
    const ssize_t got = read_at(work->copy, header, sizeof(header), 0);
    if (got < (ssize_t)sizeof(header) || memcmp(header, magic, sizeof(magic)) != 0) {
        snprintf(snapshot->damage, sizeof(snapshot->damage), "it is no SQLite database");
        return STATUS_OK;
    }
    if (header[WRITE_VERSION] != VERSION_LOG || header[READ_VERSION] != VERSION_LOG)
        snprintf(snapshot->damage, sizeof(snapshot->damage),
                 "its header says that it has no write-ahead log");
    header[WRITE_VERSION] = header[READ_VERSION] = VERSION_PLAIN;
    return write_at(work->copy, header, sizeof(header), 0) ? STATUS_OK : copy_error(work, err);
}

/* One copy; AGAIN where somebody began the log anew meanwhile. */
static enum status copy_once(struct work *work, struct error *err)
{
    uint8_t before[LOG_HEADER_BYTES];
    uint8_t after[LOG_HEADER_BYTES];
    work->snapshot = (struct store_snapshot){0};
    read_log_header(work, before);
    const struct stamp database = stamp_of(work->path);
    enum status status = copy_file(work, work->path, work->copy, err);
    if (status == STATUS_OK)
        status = copy_file(work, work->log_path, work->log_copy, err);
    if (status == STATUS_NOT_FOUND && stamp_of(work->path).exists) /* no log */
        status = ftruncate(work->log_copy, 0) == 0 ? STATUS_OK : copy_error(work, err);
    if (status != STATUS_OK)
        return status;
    read_log_header(work, after);
    const struct stamp now = stamp_of(work->path);
    const bool no_log = before[0] == 0;
    if (memcmp(before, after, sizeof(after)) != 0 || (no_log && !stamp_equal(&database, &now)))
        return error_set(err, STATUS_AGAIN, "%s changes faster than it can be copied", work->path);
    status = apply_log(work, err);
    return status == STATUS_OK ? check_header(work, err) : status;
}

/*
 * Copies until it is whole, or has the same damage twice: a frame that was being written when it
 * was copied is whole a moment later.
 */
static enum status copy_all(struct work *work, struct error *err)
{
    struct store_snapshot before = {0};
    enum status status = STATUS_AGAIN;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        const struct store_snapshot *const now = &work->snapshot;
        status = copy_once(work, err);
        if (status == STATUS_AGAIN)
            continue;
        const bool is_damaged = now->damage[0] != 0 || now->log_damage[0] != 0;
        const bool is_same = strcmp(before.damage, now->damage) == 0 &&
                             strcmp(before.log_damage, now->log_damage) == 0;
        if (status != STATUS_OK || !is_damaged || is_same)
            return status;
        before = *now;
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, nullptr);
    }
    return status == STATUS_OK ? STATUS_AGAIN : status;
}

static enum status open_work(struct work *work, const char *path, struct error *err)
{
    const char *const place = getenv("TMPDIR");
    *work = (struct work){.path = path, .copy = -1, .log_copy = -1};
    snprintf(work->folder, sizeof(work->folder), "%.800s/fedra-audit-XXXXXX",
             place != nullptr && place[0] != 0 ? place : "/tmp");
    if ((size_t)snprintf(work->log_path, sizeof(work->log_path), "%s-wal", path) >=
        sizeof(work->log_path))
        return error_set(err, STATUS_LIMIT, "the path %s is too long", path);
    if (mkdtemp(work->folder) == nullptr) {
        const enum status status = copy_error(work, err);
        work->folder[0] = 0;
        return status;
    }
    snprintf(work->copy_path, sizeof(work->copy_path), "%.900s/state.db", work->folder);
    work->copy = open(work->copy_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    work->log_copy = open(work->folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (work->log_copy < 0 && work->copy >= 0) { /* a file system that cannot */
        char name[DURABLE_PATH_MAX];
        snprintf(name, sizeof(name), "%.900s/log", work->folder);
        work->log_copy = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        unlink(name);
    }
    return work->copy >= 0 && work->log_copy >= 0 ? STATUS_OK : copy_error(work, err);
}

/* SQLite keeps the file open: its name is not needed any more. */
static void close_work(struct work *work)
{
    if (work->copy >= 0)
        close(work->copy);
    if (work->log_copy >= 0)
        close(work->log_copy);
    if (work->copy >= 0)
        unlink(work->copy_path);
    if (work->folder[0] != 0)
        rmdir(work->folder);
}

/* Whoever made the file may have put views, triggers or functions into it: none of them runs. */
static void distrust(sqlite3 *db)
{
    static const struct {
        int option;
        int value;
    } settings[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
                    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                    {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}};
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        (void)sqlite3_db_config(db, settings[i].option, settings[i].value, nullptr);
    /* Cells that point out of their page are damage, not memory. */
    (void)sqlite3_exec(db, "PRAGMA cell_size_check=ON", nullptr, nullptr, nullptr);
}

static enum status open_copy(struct work *work, struct error *err)
{
    char uri[DURABLE_PATH_MAX + 32] = "file:";
    size_t used = strlen(uri);
    for (const char *p = work->copy_path; *p != 0 && used + 4 < DURABLE_PATH_MAX; p++) {
        if (*p == '?' || *p == '#' || *p == '%')
            used += (size_t)snprintf(uri + used, sizeof(uri) - used, "%%%02x", (unsigned)*p);
        else
            uri[used++] = *p;
    }
    snprintf(uri + used, sizeof(uri) - used, "?immutable=1");
    const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(uri, &work->snapshot.db, flags, nullptr) == SQLITE_OK) {
        distrust(work->snapshot.db);
        return STATUS_OK;
    }
    const enum status status =
        error_set(err, STATUS_IO, "cannot open a copy of %s: %s", work->path,
                  work->snapshot.db != nullptr ? sqlite3_errmsg(work->snapshot.db) : "no memory");
    sqlite3_close(work->snapshot.db);
    return status;
}

enum status store_snapshot_open(const char *path, struct store_snapshot *ret_snapshot,
                                struct error *err)
{
    struct work *const work = malloc(sizeof(*work));
    if (work == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    enum status status = open_work(work, path, err);
    if (status == STATUS_OK)
        status = copy_all(work, err);
    if (status == STATUS_OK)
        status = open_copy(work, err);
    if (status == STATUS_OK)
        *ret_snapshot = work->snapshot;
    close_work(work);
    free(work);
    return status;
}

void store_snapshot_close(struct store_snapshot *snapshot)
{
    sqlite3_close(snapshot->db);
    snapshot->db = nullptr;
}
