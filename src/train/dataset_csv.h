/*
 * dataset_csv.h - labelled samples from a text file: a sample a line, one column its label, the
 * others its features as f32.
 *
 * Plain or gzip. What counts as a line and a field: csv_reader.h. Features are taken as they are:
 * who wants them scaled scales the file. Not here: which samples are a node's (partition.h).
 */
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "train/dataset.h"

#include <stdint.h>

enum csv_header {
    CSV_HEADER_AUTO, /* the first line is one where any of its fields is no number */
    CSV_HEADER_YES,
    CSV_HEADER_NO,
};

struct csv_format {
    char separator;
    enum csv_header header;
    const char *label; /* the label column: its name in the header, or its index from 0; -1 is the
                          last, -2 the one before */
};

/* Bytes of text in one file, unpacked. */
#define DATASET_CSV_BYTES_MAX (UINT64_C(1) << 36)

/*
 * Reads and checks the whole file, and gives the labels.
 *
 * classes     in [1, DATASET_CLASSES_MAX]; a label that is not under it is refused.
 * ret_labels  u8[*ret_samples], the caller frees it.
 *
 * CORRUPT for the first mistake (the text names file, line, column, what stands there and what
 * would be right): a number that is none or not finite, a field too many or too few, a label that
 * is none, no such label column, bad quoting. INVAL, IO, LIMIT, NO_MEMORY.
 */
[[nodiscard]] enum status dataset_csv_labels(const char *path, const struct csv_format *format,
                                             uint32_t classes, uint8_t **ret_labels,
                                             uint32_t *ret_samples, struct error *err);

/*
 * Reads the chosen samples: indices u32[count] as in dataset_load, null for all. Numbers of other
 * samples are passed over. Errors as above.
 */
[[nodiscard]] enum status dataset_csv_load(const char *path, const struct csv_format *format,
                                           uint32_t classes, const uint32_t *indices,
                                           uint32_t count, struct dataset *ret_dataset,
                                           struct error *err);

/* How many features a sample has, from the first line. Errors as above. */
[[nodiscard]] enum status dataset_csv_features(const char *path, const struct csv_format *format,
                                               uint32_t *ret_features, struct error *err);

/* As dataset_csv_load of all samples, from text in memory; name is for messages. */
[[nodiscard]] enum status dataset_csv_read(const char *name, struct slice text,
                                           const struct csv_format *format, uint32_t classes,
                                           struct dataset *ret_dataset, struct error *err);
