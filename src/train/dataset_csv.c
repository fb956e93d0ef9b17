/*
 * dataset_csv.c - one reader of records for three purposes: labels, chosen samples, the width.
 */
#include "train/dataset_csv.h"

#include "base/text.h"
#include "train/csv_reader.h"
#include "train/number_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    READ_BUFFER_BYTES = 1 << 16,
    SHOWN_MAX = 48, /* of a field or a column's name in a message, with its zero */
    LABELS_FIRST = 1024,
    COLUMN_TEXT_MAX = SHOWN_MAX + 40,
    FIRST_LINE_BYTES_MAX = 64 * 1024 * 1024,
};

/* A file under way. */
struct table {
    const char *path;
    struct slice text; /* read instead of the file, where data is not null */
    const struct csv_format *format;
    uint32_t classes;
    bool only_width; /* stop after the first line */
    /* The first line's fields, each with a zero after it: the columns' names, or the first sample.
     */
    struct bytes first;
    bool first_is_text; /* one of its fields is no number */
    bool first_done;
    bool has_names;
    uint32_t columns;
    uint32_t label; /* the index of its column */
    /* The sample under way. */
    float *row; /* f32[features], where it is wanted; else scratch */
    uint32_t filled;
    uint8_t row_label;
    /* What is kept. */
    uint8_t *labels; /* u8[labels_capacity]; of all samples, or of the chosen ones */
    uint32_t labels_capacity;
    const uint32_t *indices; /* u32[count]; null: numbers are checked and dropped */
    uint32_t count;
    uint32_t kept;
    float *values; /* f32[count][features] */
    float *scratch;
    uint32_t samples; /* complete ones */
};

static uint32_t features_of(const struct table *table)
{
    return table->columns - 1;
}

/* The index-th text of the first line. */
static const char *first_field(const struct table *table, uint32_t index)
{
    const char *text = (const char *)table->first.data;
    for (uint32_t i = 0; i < index; i++)
        text += strlen(text) + 1;
    return text;
}

/* "column "age" (index 3)" */
static void column_text(const struct table *table, uint32_t index,
                        char ret_text[static COLUMN_TEXT_MAX])
{
    char name[SHOWN_MAX];
    if (!table->has_names || index >= table->columns) {
        snprintf(ret_text, COLUMN_TEXT_MAX, "column index %u", index);
        return;
    }
    const char *const full = first_field(table, index);
    text_escape(full, strlen(full), name, sizeof(name));
    snprintf(ret_text, COLUMN_TEXT_MAX, "column \"%s\" (index %u)", name, index);
}

static enum status wrong_field(const struct table *table, const struct csv_field *field,
                               const char *what, const char *wanted, struct error *err)
{
    char column[COLUMN_TEXT_MAX];
    char shown[SHOWN_MAX];
    column_text(table, field->index, column);
    text_escape(field->text, field->size, shown, sizeof(shown));
    return error_set(err, STATUS_CORRUPT, "%s:%llu: %s: \"%s\" %s; %s is right", table->path,
                     (unsigned long long)field->line, column, shown, what, wanted);
}

static enum status read_label(struct table *table, const struct csv_field *field, struct error *err)
{
    char wanted[64];
    uint32_t label = 0;
    const enum number_problem problem = number_read_u32(field->text, field->size, &label);
    if (problem == NUMBER_GOOD && label < table->classes) {
        table->row_label = (uint8_t)label;
        return STATUS_OK;
    }
    snprintf(wanted, sizeof(wanted), "a whole number from 0 to %u (model.classes)",
             table->classes - 1);
    return wrong_field(table, field,
                       problem == NUMBER_EMPTY    ? "has no label"
                       : problem == NUMBER_UNREAD ? "is not a label"
                                                  : "is no such class",
                       wanted, err);
}

static enum status read_value(struct table *table, const struct csv_field *field, struct error *err)
{
    if (table->row == nullptr)
        return STATUS_OK;
    switch (number_read_f32(field->text, field->size, &table->row[table->filled])) {
    case NUMBER_GOOD:
        table->filled++;
        return STATUS_OK;
    case NUMBER_EMPTY:
        return wrong_field(table, field, "is empty", "a decimal number", err);
    case NUMBER_UNREAD:
        return wrong_field(table, field, "is not a finite decimal number",
                           "a number as 5, -0.25 or 1e-3", err);
    case NUMBER_TOO_BIG:
        return wrong_field(table, field, "is too large for a 32-bit float",
                           "a number between -3.4e38 and 3.4e38", err);
    }
    return STATUS_OK;
}

static enum status take_field(struct table *table, const struct csv_field *field, struct error *err)
{
    if (field->index >= table->columns)
        return STATUS_OK; /* the line's end says so, with the number of fields */
    return field->index == table->label ? read_label(table, field, err)
                                        : read_value(table, field, err);
}

/* Where the next sample's numbers go: null where nobody wants them. */
static void begin_row(struct table *table)
{
    const bool wanted =
        table->indices == nullptr ||
        (table->kept < table->count && table->indices[table->kept] == table->samples);
    table->filled = 0;
    if (!wanted)
        table->row = nullptr;
    else if (table->values == nullptr)
        table->row = table->scratch;
    else
        table->row = table->values + (size_t)table->kept * features_of(table);
}

static enum status keep_label(struct table *table, struct error *err)
{
    if (table->kept == table->labels_capacity) {
        const uint32_t capacity =
            table->labels_capacity == 0 ? LABELS_FIRST : 2 * table->labels_capacity;
        uint8_t *const labels = realloc(table->labels, capacity);
        if (labels == nullptr)
            return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u labels", table->path,
                             capacity);
        table->labels = labels;
        table->labels_capacity = capacity;
    }
    table->labels[table->kept++] = table->row_label;
    return STATUS_OK;
}

static enum status end_sample(struct table *table, uint64_t line, uint32_t fields,
                              struct error *err)
{
    if (fields != table->columns)
        return error_set(err, STATUS_CORRUPT,
                         "%s:%llu: has %u fields; %u, as in the first line, are right", table->path,
                         (unsigned long long)line, fields, table->columns);
    if (table->samples == DATASET_SAMPLES_MAX)
        return error_set(err, STATUS_LIMIT, "%s:%llu: is over the %u samples a file may have",
                         table->path, (unsigned long long)line, (unsigned)DATASET_SAMPLES_MAX);
    const enum status status = table->row != nullptr ? keep_label(table, err) : STATUS_OK;
    table->samples++;
    begin_row(table);
    return status;
}

static enum status no_label_column(const struct table *table, const char *why, struct error *err)
{
    char names[SHOWN_MAX * 3];
    char label[SHOWN_MAX];
    size_t used = 0;
    names[0] = 0;
    text_escape(table->format->label, strlen(table->format->label), label, sizeof(label));
    for (uint32_t i = 0; i < table->columns && table->has_names && used + 8 < sizeof(names) / 2;
         i++) {
        char name[SHOWN_MAX];
        const char *const full = first_field(table, i);
        text_escape(full, strlen(full), name, sizeof(name));
        used +=
            (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i > 0 ? ", " : "", name);
    }
    return error_set(err, STATUS_INVAL,
                     "%s:1: label column \"%s\": %s; the name or index (0 to %u, or -1 for the "
                     "last) of a column is right%s%s",
                     table->path, label, why, table->columns - 1,
                     table->has_names ? "; the columns begin with " : "", names);
}

/* Whether text is [-] digits: an index, from 0 or, negative, from the end. */
static bool read_index(const char *text, uint32_t columns, uint32_t *ret_index, bool *ret_in_range)
{
    uint32_t value = 0;
    const bool from_end = text[0] == '-';
    const size_t size = strlen(text + from_end);
    if (size == 0 || text[from_end] < '0' || text[from_end] > '9' ||
        number_read_u32(text + from_end, size, &value) == NUMBER_UNREAD)
        return false;
    *ret_in_range = from_end ? value >= 1 && value <= columns : size < 10 && value < columns;
    *ret_index = from_end ? columns - value : value;
    return true;
}

static enum status find_label(struct table *table, struct error *err)
{
    const char *const label = table->format->label;
    uint32_t found = UINT32_MAX;
    const char *name = first_field(table, 0);
    for (uint32_t i = 0; table->has_names && i < table->columns; i++) {
        const bool same = strcmp(name, label) == 0;
        name += strlen(name) + 1;
        if (!same)
            continue;
        if (found != UINT32_MAX)
            return no_label_column(table, "two columns have this name", err);
        found = i;
    }
    bool in_range = true;
    if (found == UINT32_MAX && !read_index(label, table->columns, &found, &in_range))
        return no_label_column(
            table, table->has_names ? "there is none of this name" : "there is no line of names",
            err);
    if (!in_range)
        return no_label_column(table, "there is no such index", err);
    table->label = found;
    return STATUS_OK;
}

static enum status make_room(struct table *table, struct error *err)
{
    const size_t features = features_of(table);
    table->scratch = malloc(features * sizeof(float));
    if (table->indices != nullptr) {
        table->values = malloc(((size_t)table->count * features + 1) * sizeof(float));
        table->labels = malloc((size_t)table->count + 1);
        table->labels_capacity = table->count;
    }
    if (table->scratch == nullptr ||
        (table->indices != nullptr && (table->values == nullptr || table->labels == nullptr)))
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u samples of %zu numbers",
                         table->path, table->count, features);
    return STATUS_OK;
}

/* The first line is complete: names, or the first sample. */
static enum status end_first(struct table *table, uint64_t line, uint32_t fields, struct error *err)
{
    const enum csv_header header = table->format->header;
    table->columns = fields;
    table->has_names =
        header == CSV_HEADER_YES || (header == CSV_HEADER_AUTO && table->first_is_text);
    char separator[8];
    text_escape(&table->format->separator, 1, separator, sizeof(separator));
    if (fields < 2)
        return error_set(err, STATUS_CORRUPT,
                         "%s:%llu: has one field; a label and at least one number, with the "
                         "separator '%s' between them, are right",
                         table->path, (unsigned long long)line, separator);
    if (fields - 1 > DATASET_FEATURES_MAX)
        return error_set(err, STATUS_LIMIT, "%s:%llu: has %u features; at most %u are right",
                         table->path, (unsigned long long)line, fields - 1,
                         (unsigned)DATASET_FEATURES_MAX);
    enum status status = find_label(table, err);
    if (status == STATUS_OK && !table->only_width)
        status = make_room(table, err);
    if (status != STATUS_OK || table->only_width)
        return status;
    table->first_done = true;
    begin_row(table);
    if (table->has_names)
        return STATUS_OK;
    const char *text = first_field(table, 0);
    for (uint32_t i = 0; i < fields && status == STATUS_OK; i++) {
        const struct csv_field field = {text, strlen(text), line, i};
        status = take_field(table, &field, err);
        text += field.size + 1;
    }
    return status == STATUS_OK ? end_sample(table, line, fields, err) : status;
}

static enum status on_field(void *context, const struct csv_field *field, struct error *err)
{
    struct table *const table = context;
    float number = 0;
    if (table->first_done)
        return take_field(table, field, err);
    if (table->columns > 0) /* only_width, and the first line is over */
        return STATUS_OK;
    if (memchr(field->text, 0, field->size) != nullptr)
        return wrong_field(table, field, "holds a zero byte", "text", err);
    const enum number_problem problem = number_read_f32(field->text, field->size, &number);
    table->first_is_text = table->first_is_text || problem == NUMBER_UNREAD;
    if (bytes_reserve(&table->first, field->size + 1) != STATUS_OK ||
        bytes_append(&table->first, field->text, field->size + 1) != STATUS_OK)
        return error_set(err, STATUS_LIMIT, "%s:%llu: the first line is too long to be one",
                         table->path, (unsigned long long)field->line);
    return STATUS_OK;
}

static enum status on_record(void *context, uint64_t line, uint32_t fields, struct error *err)
{
    struct table *const table = context;
    if (table->first_done)
        return end_sample(table, line, fields, err);
    return table->columns > 0 ? STATUS_OK : end_first(table, line, fields, err);
}

static enum status read_failed(gzFile file, const char *path, struct error *err)
{
    int code = Z_OK;
    const int number = errno;
    const char *const text = gzerror(file, &code);
    if (code == Z_ERRNO)
        return error_set_errno(err, STATUS_IO, number, "%s: cannot be read", path);
    if (code == Z_MEM_ERROR)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory to unpack it", path);
    return error_set(err, STATUS_CORRUPT, "%s: the compressed data is damaged (%s)", path,
                     code == Z_BUF_ERROR ? "cut off" : text);
}

/* Feeds the file to its end, or (only_width) to the end of the first line. */
static enum status feed(struct table *table, gzFile file, struct csv_reader *reader,
                        uint8_t *buffer, struct error *err)
{
    uint64_t total = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !(table->only_width && table->columns > 0)) {
        errno = 0;
        const int got = gzread(file, buffer, READ_BUFFER_BYTES);
        int code = Z_OK;
        if (got < 0 || (got == 0 && (gzerror(file, &code), code != Z_OK && code != Z_STREAM_END)))
            return read_failed(file, table->path, err);
        if (got == 0)
            return csv_reader_end(reader, err);
        total += (uint32_t)got;
        if (total > DATASET_CSV_BYTES_MAX)
            return error_set(err, STATUS_LIMIT, "%s: is over the %llu bytes a file may have",
                             table->path, (unsigned long long)DATASET_CSV_BYTES_MAX);
        status = csv_reader_feed(reader, buffer, (size_t)got, err);
    }
    return status;
}

static enum status open_file(const char *path, gzFile *ret_file, struct error *err)
{
    struct stat info = {0};
    if (stat(path, &info) != 0)
        return error_set_errno(err, STATUS_IO, errno, "%s: cannot be opened", path);
    if (!S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVAL, "%s: is not a file; give a CSV file, plain or .gz",
                         path);
    errno = 0;
    gzFile file = gzopen(path, "rbe");
    if (file == nullptr)
        return errno == 0 ? error_set(err, STATUS_NO_MEMORY, "%s: no memory to open it", path)
                          : error_set_errno(err, STATUS_IO, errno, "%s: cannot be opened", path);
    gzbuffer(file, READ_BUFFER_BYTES);
    *ret_file = file;
    return STATUS_OK;
}

static void table_deinit(struct table *table)
{
    bytes_deinit(&table->first);
    free(table->labels);
    free(table->values);
    free(table->scratch);
}

static enum status feed_from(struct table *table, struct csv_reader *reader, uint8_t *buffer,
                             struct error *err)
{
    gzFile file = nullptr;
    enum status status = STATUS_OK;
    if (table->text.data != nullptr) {
        status = csv_reader_feed(reader, table->text.data, table->text.size, err);
        return status == STATUS_OK ? csv_reader_end(reader, err) : status;
    }
    status = open_file(table->path, &file, err);
    if (status != STATUS_OK)
        return status;
    status = feed(table, file, reader, buffer, err);
    gzclose_r(file);
    return status;
}

/* Reads a file into the table; what it holds then is the caller's to take or free. */
static enum status read_table(struct table *table, struct error *err)
{
    const struct csv_sink sink = {on_field, on_record, table};
    bytes_init(&table->first, FIRST_LINE_BYTES_MAX);
    if (table->classes < 1 || table->classes > DATASET_CLASSES_MAX)
        return error_set(err, STATUS_INVAL, "%u classes; 1 to %d are right", table->classes,
                         (int)DATASET_CLASSES_MAX);
    enum status status = STATUS_OK;
    struct csv_reader *const reader = malloc(sizeof(*reader));
    uint8_t *const buffer = malloc(READ_BUFFER_BYTES);
    if (reader == nullptr || buffer == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "%s: no memory to read it", table->path);
        goto out;
    }
    csv_reader_init(reader, table->path, table->format->separator, &sink);
    status = feed_from(table, reader, buffer, err);
    if (status == STATUS_OK && !table->only_width && table->samples == 0)
        status =
            error_set(err, STATUS_CORRUPT, "%s: holds no samples; at least one line%s is right",
                      table->path, table->columns > 0 ? " after the names" : "");
    if (status == STATUS_OK && table->only_width && table->columns == 0)
        status =
            error_set(err, STATUS_CORRUPT, "%s: is empty; at least one line is right", table->path);
out:
    free(reader);
    free(buffer);
    return status;
}

/* Gives the labels of all samples out of a table that is not read yet. */
static enum status read_labels(struct table *table, uint8_t **ret_labels, uint32_t *ret_samples,
                               struct error *err)
{
    const enum status status = read_table(table, err);
    if (status == STATUS_OK) {
        *ret_labels = table->labels;
        *ret_samples = table->samples;
        table->labels = nullptr;
    }
    table_deinit(table);
    return status;
}

enum status dataset_csv_labels(const char *path, const struct csv_format *format, uint32_t classes,
                               uint8_t **ret_labels, uint32_t *ret_samples, struct error *err)
{
    struct table table = {.path = path, .format = format, .classes = classes};
    return read_labels(&table, ret_labels, ret_samples, err);
}

/* Reads the samples named by the table's indices. */
static enum status read_samples(struct table *table, struct dataset *ret_dataset, struct error *err)
{
    enum status status = read_table(table, err);
    if (status == STATUS_OK && table->kept < table->count)
        status = error_set(err, STATUS_INVAL, "%s: sample %u was asked for; there are %u",
                           table->path, table->indices[table->kept], table->samples);
    if (status == STATUS_OK) {
        *ret_dataset = (struct dataset){.values = table->values,
                                        .labels = table->labels,
                                        .samples = table->count,
                                        .features = features_of(table)};
        table->values = nullptr;
        table->labels = nullptr;
    }
    table_deinit(table);
    return status;
}

/* As read_samples, of all: a first pass counts them. */
static enum status read_all(const struct table *table, struct dataset *ret_dataset,
                            struct error *err)
{
    struct table pass = *table;
    uint8_t *labels = nullptr;
    uint32_t count = 0;
    enum status status = read_labels(&pass, &labels, &count, err);
    free(labels);
    if (status != STATUS_OK)
        return status;
    uint32_t *const indices = malloc(count * sizeof(*indices));
    if (indices == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s: no memory for %u samples", table->path, count);
    for (uint32_t i = 0; i < count; i++)
        indices[i] = i;
    pass = *table;
    pass.indices = indices;
    pass.count = count;
    status = read_samples(&pass, ret_dataset, err);
    free(indices);
    return status;
}

enum status dataset_csv_load(const char *path, const struct csv_format *format, uint32_t classes,
                             const uint32_t *indices, uint32_t count, struct dataset *ret_dataset,
                             struct error *err)
{
    struct table table = {.path = path, .format = format, .classes = classes};
    if (indices == nullptr)
        return read_all(&table, ret_dataset, err);
    for (uint32_t i = 1; i < count; i++) {
        if (indices[i] <= indices[i - 1])
            return error_set(err, STATUS_INVAL,
                             "samples must be asked for in ascending order; %u follows %u",
                             indices[i], indices[i - 1]);
    }
    table.indices = indices;
    table.count = count;
    return read_samples(&table, ret_dataset, err);
}

enum status dataset_csv_read(const char *name, struct slice text, const struct csv_format *format,
                             uint32_t classes, struct dataset *ret_dataset, struct error *err)
{
    const struct table table = {.path = name, .text = text, .format = format, .classes = classes};
    return read_all(&table, ret_dataset, err);
}

enum status dataset_csv_features(const char *path, const struct csv_format *format,
                                 uint32_t *ret_features, struct error *err)
{
    struct table table = {.path = path, .format = format, .classes = 1, .only_width = true};
    const enum status status = read_table(&table, err);
    if (status == STATUS_OK)
        *ret_features = features_of(&table);
    table_deinit(&table);
    return status;
}
