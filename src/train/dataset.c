/*
 * dataset.c - reads idx files through zlib and keeps the chosen samples; batches and the held-out
 * share.
 */
#include "train/dataset.h"

#include "base/check.h"
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    IDX_UBYTE = 0x08,
    IDX_LABELS_RANK = 1,
    IDX_IMAGES_RANK = 3,
    IDX_HEADER_MAX = 4 + 4 * IDX_IMAGES_RANK,
    DEFLATE_RATIO_MAX = 1032, /* zlib's documented bound: a byte becomes at most so many */
    READ_BUFFER_BYTES = 1 << 16,
    STREAM_HOLD_OUT = 0x686f6c64,
};

/* An idx file that is being read. */
struct idx {
    gzFile file;
    const char *path;
    uint32_t rank;
    uint32_t sizes[IDX_IMAGES_RANK];
    uint64_t content_bytes; /* after the header, by the header */
};

static uint32_t load_u32be(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* Reads exactly size bytes; at says how far the file was read, for the text. */
static enum status idx_read(struct idx *idx, void *ret, uint32_t size, uint64_t at,
                            struct error *err)
{
    CHECK(size <= INT32_MAX);
    errno = 0;
    const int got = gzread(idx->file, ret, size);
    if (got >= 0 && (uint32_t)got == size)
        return STATUS_OK;
    int code = Z_OK;
    const char *const text = gzerror(idx->file, &code);
    if (code == Z_ERRNO)
        return error_set_errno(err, STATUS_IO, errno, "%s: cannot be read", idx->path);
    if (code == Z_MEM_ERROR)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory to unpack it", idx->path);
    if (got < 0 || (code != Z_OK && code != Z_BUF_ERROR))
        return error_set(err, STATUS_CORRUPT, "%s: the compressed data is damaged (%s)", idx->path,
                         text);
    const uint64_t end = at + (uint64_t)got;
    return error_set(err, STATUS_CORRUPT,
                     "%s: ends after %llu bytes; its header asks for %llu after the header",
                     idx->path, (unsigned long long)end, (unsigned long long)idx->content_bytes);
}

/* Reads to the end, which must be here; this is where gzip's checksum is compared. */
static enum status idx_end(struct idx *idx, struct error *err)
{
    uint8_t extra = 0;
    const int got = gzread(idx->file, &extra, 1);
    int code = Z_OK;
    const char *const text = gzerror(idx->file, &code);
    if (got < 0 || code == Z_BUF_ERROR)
        return error_set(err, STATUS_CORRUPT, "%s: the compressed data is damaged (%s)", idx->path,
                         code == Z_BUF_ERROR ? "cut off" : text);
    if (got > 0)
        return error_set(err, STATUS_CORRUPT,
                         "%s: goes on after the %llu bytes that its header asks for", idx->path,
                         (unsigned long long)idx->content_bytes);
    return STATUS_OK;
}

/* Compares the magic number with 00 00 08 rank and bounds every size. */
static enum status idx_header(struct idx *idx, uint32_t rank, struct error *err)
{
    uint8_t head[IDX_HEADER_MAX] = {0};
    idx->rank = rank;
    idx->content_bytes = 0;
    if (gzread(idx->file, head, 4 + 4 * rank) != (int)(4 + 4 * rank))
        return error_set(err, STATUS_CORRUPT,
                         "%s: is too short for the %u-byte header of an idx%u file, or is damaged",
                         idx->path, 4 + 4 * rank, rank);
    const uint32_t magic = load_u32be(head);
    const uint32_t want = (uint32_t)IDX_UBYTE << 8 | rank;
    if (magic != want)
        return error_set(err, STATUS_CORRUPT,
                         "%s: begins with 0x%08x; an idx%u file of bytes begins with 0x%08x",
                         idx->path, magic, rank, want);
    for (uint32_t i = 0; i < rank; i++)
        idx->sizes[i] = load_u32be(head + 4 + (size_t)4 * i);
    if (idx->sizes[0] < 1 || idx->sizes[0] > DATASET_SAMPLES_MAX)
        return error_set(err, idx->sizes[0] < 1 ? STATUS_CORRUPT : STATUS_LIMIT,
                         "%s: its header says %u samples; 1 to %u are right", idx->path,
                         idx->sizes[0], (unsigned)DATASET_SAMPLES_MAX);
    uint64_t features = 1;
    for (uint32_t i = 1; i < rank; i++)
        features *= idx->sizes[i]; /* two factors under 2^32 */
    if (features < 1 || features > DATASET_FEATURES_MAX)
        return error_set(err, features < 1 ? STATUS_CORRUPT : STATUS_LIMIT,
                         "%s: its header says %ux%u pixels; 1 to %u in all are right", idx->path,
                         idx->sizes[1], idx->sizes[2], (unsigned)DATASET_FEATURES_MAX);
    idx->content_bytes = features * idx->sizes[0];
    return STATUS_OK;
}

/* Whether the file on disk can hold what the header says: exactly if plain, at all if packed. */
static enum status idx_check_size(const struct idx *idx, uint64_t file_bytes, struct error *err)
{
    const uint64_t want = 4 + (uint64_t)4 * idx->rank + idx->content_bytes;
    if (gzdirect(idx->file) && file_bytes != want)
        return error_set(err, STATUS_CORRUPT, "%s: is %llu bytes long; its header asks for %llu",
                         idx->path, (unsigned long long)file_bytes, (unsigned long long)want);
    if (!gzdirect(idx->file) && want / DEFLATE_RATIO_MAX > file_bytes)
        return error_set(err, STATUS_CORRUPT,
                         "%s: its %llu bytes cannot unpack to the %llu that its header asks for",
                         idx->path, (unsigned long long)file_bytes, (unsigned long long)want);
    return STATUS_OK;
}

static void idx_close(struct idx *idx)
{
    if (idx->file != nullptr)
        gzclose_r(idx->file);
    idx->file = nullptr;
}

static enum status idx_open(const char *path, uint32_t rank, struct idx *ret_idx, struct error *err)
{
    struct idx idx = {.path = path};
    struct stat info = {0};
    if (stat(path, &info) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s: cannot be opened", path);
    if (!S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVAL, "%s: is not a file; give an idx file, plain or .gz",
                         path);
    errno = 0;
    idx.file = gzopen(path, "rbe");
    if (idx.file == nullptr)
        return errno == 0 ? error_set(err, STATUS_NO_MEMORY, "%s: no memory to open it", path)
                          : error_set_errno(err, STATUS_IO, errno, "%s: cannot be opened", path);
    gzbuffer(idx.file, READ_BUFFER_BYTES);
    enum status status = idx_header(&idx, rank, err);
    if (status == STATUS_OK)
        status = idx_check_size(&idx, (uint64_t)info.st_size, err);
    if (status != STATUS_OK) {
        idx_close(&idx);
        return status;
    }
    *ret_idx = idx;
    return STATUS_OK;
}

static enum status labels_check(const char *path, const uint8_t *labels, uint32_t samples,
                                uint32_t classes, struct error *err)
{
    for (uint32_t i = 0; i < samples; i++) {
        if (labels[i] >= classes)
            return error_set(err, STATUS_CORRUPT,
                             "%s: sample %u has label %u; labels of %u classes are 0 to %u", path,
                             i, labels[i], classes, classes - 1);
    }
    return STATUS_OK;
}

enum status dataset_labels_load(const char *path, uint32_t classes, uint8_t **ret_labels,
                                uint32_t *ret_samples, struct error *err)
{
    struct idx idx = {0};
    uint8_t *labels = nullptr;
    enum status status = STATUS_OK;
    if (classes < 1 || classes > DATASET_CLASSES_MAX)
        return error_set(err, STATUS_INVAL, "%u classes; 1 to %d are right", classes,
                         (int)DATASET_CLASSES_MAX);
    status = idx_open(path, IDX_LABELS_RANK, &idx, err);
    if (status != STATUS_OK)
        return status;
    const uint32_t samples = idx.sizes[0];
    CHECK(samples > 0);
    labels = malloc(samples);
    if (labels == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u labels", path, samples);
        goto out;
    }
    status = idx_read(&idx, labels, samples, 0, err);
    if (status != STATUS_OK)
        goto out;
    status = idx_end(&idx, err);
    if (status != STATUS_OK)
        goto out;
    status = labels_check(path, labels, samples, classes, err);
    if (status != STATUS_OK)
        goto out;
    *ret_labels = labels;
    *ret_samples = samples;
    labels = nullptr;
out:
    free(labels);
    idx_close(&idx);
    return status;
}

static enum status indices_check(const uint32_t *indices, uint32_t count, uint32_t samples,
                                 struct error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (indices[i] >= samples)
            return error_set(err, STATUS_INVAL, "sample %u was asked for; there are %u", indices[i],
                             samples);
        if (i > 0 && indices[i] <= indices[i - 1])
            return error_set(err, STATUS_INVAL,
                             "samples must be asked for in ascending order; %u follows %u",
                             indices[i], indices[i - 1]);
    }
    return STATUS_OK;
}

/* Streams the images: those chosen go to pixels, the others to scratch. */
static enum status images_read(struct idx *idx, const uint32_t *indices, uint32_t count,
                               uint32_t features, uint8_t *pixels, uint8_t *scratch,
                               struct error *err)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < idx->sizes[0]; i++) {
        const bool wanted = indices == nullptr || (kept < count && indices[kept] == i);
        uint8_t *const target = wanted ? pixels + (size_t)kept * features : scratch;
        const enum status status = idx_read(idx, target, features, (uint64_t)i * features, err);
        if (status != STATUS_OK)
            return status;
        kept += wanted;
    }
    return idx_end(idx, err);
}

/* Takes the labels of the chosen samples; all of them are there already. */
static enum status take_samples(struct idx *images, const uint8_t *labels, const uint32_t *indices,
                                uint32_t count, struct dataset *ret_dataset, struct error *err)
{
    const uint32_t features = images->sizes[1] * images->sizes[2];
    CHECK(features > 0 && labels != nullptr);
    struct dataset set = {.samples = count,
                          .features = features,
                          .rows = images->sizes[1],
                          .columns = images->sizes[2]};
    enum status status = STATUS_OK;
    uint8_t *const scratch = malloc(features);
    set.pixels = malloc((size_t)count * features + 1);
    set.labels = malloc((size_t)count + 1);
    if (scratch == nullptr || set.pixels == nullptr || set.labels == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u samples of %u bytes",
                           images->path, count, features);
        goto out;
    }
    status = images_read(images, indices, count, features, set.pixels, scratch, err);
    if (status != STATUS_OK)
        goto out;
    for (uint32_t i = 0; i < count; i++)
        set.labels[i] = labels[indices == nullptr ? i : indices[i]];
    *ret_dataset = set;
    set = (struct dataset){0};
out:
    free(scratch);
    dataset_deinit(&set);
    return status;
}

enum status dataset_load(const char *images_path, const char *labels_path, uint32_t classes,
                         const uint32_t *indices, uint32_t count, struct dataset *ret_dataset,
                         struct error *err)
{
    struct idx images = {0};
    uint8_t *labels = nullptr;
    uint32_t samples = 0;
    enum status status = dataset_labels_load(labels_path, classes, &labels, &samples, err);
    if (status != STATUS_OK)
        goto out;
    status = idx_open(images_path, IDX_IMAGES_RANK, &images, err);
    if (status != STATUS_OK)
        goto out;
    if (images.sizes[0] != samples) {
        status = error_set(err, STATUS_CORRUPT,
                           "%s: holds %u images, but %s holds %u labels; the numbers must be equal",
                           images_path, images.sizes[0], labels_path, samples);
        goto out;
    }
    if (indices == nullptr)
        count = samples;
    else
        status = indices_check(indices, count, samples, err);
    if (status == STATUS_OK)
        status = take_samples(&images, labels, indices, count, ret_dataset, err);
out:
    idx_close(&images);
    free(labels);
    return status;
}

void dataset_deinit(struct dataset *dataset)
{
    free(dataset->pixels);
    free(dataset->values);
    free(dataset->labels);
    *dataset = (struct dataset){0};
}

/* Bytes that one sample takes, labels apart. */
static size_t sample_bytes(const struct dataset *dataset)
{
    return dataset->features * (dataset->values != nullptr ? sizeof(float) : 1);
}

static uint8_t *samples_of(const struct dataset *dataset)
{
    return dataset->values != nullptr ? (uint8_t *)dataset->values : dataset->pixels;
}

/* Memory for count samples like those of data. */
static enum status make_like(const struct dataset *data, uint32_t count, struct dataset *ret_set,
                             struct error *err)
{
    struct dataset set = *data;
    void *const samples = malloc(count * sample_bytes(data) + 1);
    set.labels = malloc((size_t)count + 1);
    set.samples = count;
    set.pixels = data->values == nullptr ? samples : nullptr;
    set.values = data->values != nullptr ? samples : nullptr;
    if (samples == nullptr || set.labels == nullptr) {
        dataset_deinit(&set);
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u samples", count);
    }
    *ret_set = set;
    return STATUS_OK;
}

/* data[to] = from[at] */
static void copy_sample(const struct dataset *from, uint32_t at, struct dataset *data, uint32_t to)
{
    const size_t size = sample_bytes(from);
    memmove(samples_of(data) + to * size, samples_of(from) + at * size, size);
    data->labels[to] = from->labels[at];
}

enum status dataset_take(const struct dataset *whole, const uint32_t *picks, uint32_t count,
                         struct dataset *ret_dataset, struct error *err)
{
    struct dataset set = {0};
    const enum status status = make_like(whole, count, &set, err);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        CHECK(picks[i] < whole->samples);
        copy_sample(whole, picks[i], &set, i);
    }
    *ret_dataset = set;
    return STATUS_OK;
}

enum status dataset_hold_out(struct dataset *data, double share, uint64_t seed, uint64_t node,
                             struct dataset *ret_holdout, struct error *err)
{
    CHECK(share > 0 && share < 1);
    const uint32_t samples = data->samples;
    struct dataset held = {0};
    *ret_holdout = held;
    if (samples < 2)
        return STATUS_OK;
    uint32_t count = (uint32_t)(share * samples + 0.5);
    count = count < 1 ? 1 : count >= samples ? samples - 1 : count;
    const enum status status = make_like(data, count, &held, err);
    if (status != STATUS_OK)
        return status;
    uint32_t *const order = malloc((size_t)samples * sizeof(*order));
    bool *const taken = calloc(samples, sizeof(*taken));
    if (order == nullptr || taken == nullptr) {
        dataset_deinit(&held);
        free(order);
        free(taken);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the order of %u samples", samples);
    }
    for (uint32_t i = 0; i < samples; i++)
        order[i] = i;
    struct random random;
    random_init(&random, seed, STREAM_HOLD_OUT, node);
    random_shuffle_u32(&random, order, samples);
    for (uint32_t i = 0; i < count; i++)
        taken[order[i]] = true;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < samples; i++) {
        if (taken[i])
            copy_sample(data, i, &held, i - kept);
        else
            copy_sample(data, i, data, kept++);
    }
    data->samples = kept;
    free(order);
    free(taken);
    *ret_holdout = held;
    return STATUS_OK;
}

void dataset_batch(const struct dataset *dataset, const uint32_t *picks, uint32_t first,
                   uint32_t count, float *ret_inputs, uint8_t *ret_labels)
{
    const uint32_t features = dataset->features;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = picks == nullptr ? first + i : picks[i];
        float *const out = ret_inputs + (size_t)i * features;
        ret_labels[i] = dataset->labels[at];
        if (dataset->values != nullptr) {
            memcpy(out, dataset->values + (size_t)at * features, features * sizeof(*out));
            continue;
        }
        const uint8_t *const pixels = dataset->pixels + (size_t)at * features;
        for (uint32_t j = 0; j < features; j++)
            out[j] = (float)pixels[j] / 255.0f;
    }
}
