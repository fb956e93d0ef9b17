/*
 * dataset.h - labelled samples in memory, only those of one node's part; and how idx files become
 * such.
 *
 * The format: http://yann.lecun.com/exdb/mnist (big-endian header, then unsigned bytes), plain or
 * gzip. Pixels stay bytes in memory (47 MB for 60,000 of 28x28) and become f32 a batch at a time.
 * Not here: which samples are a node's (partition.h), other files (dataset_csv.h,
 * dataset_safetensors.h).
 */
#pragma once

#include "base/status.h"

#include <stdint.h>

enum {
    DATASET_SAMPLES_MAX = 1 << 24,  /* samples in one file */
    DATASET_FEATURES_MAX = 1 << 20, /* values in one sample */
    DATASET_CLASSES_MAX = 256,      /* a label is one byte */
};

/*
 * Samples in memory: bytes or f32, the other pointer is null. Free it with dataset_deinit; all
 * zeros is empty.
 */
struct dataset {
    uint8_t *pixels;   /* u8[samples][features]; a batch has them divided by 255 */
    uint8_t *labels;   /* u8[samples], each under the classes given when it was loaded */
    uint32_t samples;  /* how many are held */
    uint32_t features; /* values a sample */
    uint32_t rows;     /* of an image: features = rows * columns; 0 where it is none */
    uint32_t columns;
    float *values; /* f32[samples][features], finite; a batch has them as they are */
};

/*
 * Reads an idx1 file of labels wholly.
 *
 * path        plain or gzip, told apart by content.
 * classes     in [1, DATASET_CLASSES_MAX]; a label that is not under it is refused.
 * ret_labels  u8[*ret_samples], the caller frees it.
 *
 * IO where the file cannot be read; CORRUPT where it is not what it should be (the text names the
 * file, what was found and what would be right); LIMIT over DATASET_SAMPLES_MAX; NO_MEMORY.
 * Sizes in the header are compared with the file's size before anything is allocated; a compressed
 * file is never unpacked further than its header says, plus one byte.
 */
[[nodiscard]] enum status dataset_labels_load(const char *path, uint32_t classes,
                                              uint8_t **ret_labels, uint32_t *ret_samples,
                                              struct error *err);

/*
 * Reads the chosen samples of a pair of idx3 (images) and idx1 (labels) files.
 *
 * indices  u32[count], strictly ascending, each under the number of samples in the files; null
 *          for all of them (count is not looked at then).
 *
 * Streams through the files and holds the chosen samples only. Both files are read to their end, so
 * that a checksum that is wrong anywhere is seen. Errors as dataset_labels_load; also CORRUPT where
 * the two files differ in their number of samples, INVAL for indices out of order or range.
 */
[[nodiscard]] enum status dataset_load(const char *images_path, const char *labels_path,
                                       uint32_t classes, const uint32_t *indices, uint32_t count,
                                       struct dataset *ret_dataset, struct error *err);

/*
 * Copies chosen samples into a data set of their own.
 *
 * picks  u32[count], positions in whole, each under whole->samples.
 *
 * NO_MEMORY.
 */
[[nodiscard]] enum status dataset_take(const struct dataset *whole, const uint32_t *picks,
                                       uint32_t count, struct dataset *ret_dataset,
                                       struct error *err);

/* Frees what the data set holds and makes it empty. */
void dataset_deinit(struct dataset *dataset);

/*
 * Takes a share of the samples out, for measuring on what is not trained on.
 *
 * data         loses them; what it keeps stays in its order.
 * share        in (0, 1) of its samples, rounded to the nearest whole number, but at least one
 * where there are two or more; at least one stays. seed, node   name the choice: the same three and
 * the same samples give the same split. ret_holdout  in data's order; the caller frees it with
 * dataset_deinit. Empty of one sample.
 *
 * NO_MEMORY; data is unchanged then.
 */
[[nodiscard]] enum status dataset_hold_out(struct dataset *data, double share, uint64_t seed,
                                           uint64_t node, struct dataset *ret_holdout,
                                           struct error *err);

/*
 * Writes count samples as f32 (bytes as byte / 255, in [0, 1]) and their labels, in the order of
 * picks.
 *
 * picks       u32[count], positions in the data set, each under dataset->samples; null for
 *             [first, first + count) (first is not looked at otherwise).
 * ret_inputs  f32[count][features].   ret_labels  u8[count].
 */
void dataset_batch(const struct dataset *dataset, const uint32_t *picks, uint32_t first,
                   uint32_t count, float *ret_inputs, uint8_t *ret_labels);
