/*
 * csv_reader.h - splits comma-separated text into fields, as RFC 4180 has it.
 *
 * Bytes go in as they come, fields come out as they end: no line is ever held. Lines end in LF or
 * CRLF, the last one may end without; lines without a byte are passed over; a byte order mark at
 * the start is, too. A field in quotes may hold separators, line ends and, doubled, quotes. Not
 * here: what a field means (dataset_csv.c).
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CSV_FIELD_BYTES_MAX = 4096, /* of one field, without its quotes */
    CSV_FIELDS_MAX = 1 << 21,   /* in one record */
};

struct csv_field {
    const char *text; /* size bytes and a zero; holds until the call returns */
    size_t size;
    uint64_t line;  /* where the field begins, from 1 */
    uint32_t index; /* in its record, from 0 */
};

/* Both may refuse, with a text; the reader gives the status on and must not be fed again. */
struct csv_sink {
    enum status (*on_field)(void *context, const struct csv_field *field, struct error *err);
    /* After the last of a record's fields. line: where the record began. */
    enum status (*on_record)(void *context, uint64_t line, uint32_t fields, struct error *err);
    void *context;
};

struct csv_reader {
    const char *name; /* the file's, for messages; the caller's */
    char separator;
    struct csv_sink sink;
    int state;
    uint64_t line;        /* where the next byte is */
    uint64_t field_line;  /* where the field under way began */
    uint64_t record_line; /* where the record under way began */
    uint32_t fields;      /* complete ones in the record under way */
    uint32_t mark;        /* bytes of a byte order mark seen */
    bool special[256];    /* by byte: separator, quote, line end */
    size_t size;
    char text[CSV_FIELD_BYTES_MAX + 1];
};

/* separator is one byte, neither a quote nor a line end. Cannot fail. */
void csv_reader_init(struct csv_reader *reader, const char *name, char separator,
                     const struct csv_sink *sink);

/*
 * Takes size bytes more. CORRUPT where a quote or a carriage return stands where none may, LIMIT
 * for a field or record that is too long: the text names file, line and column. And what the sink
 * gives.
 */
[[nodiscard]] enum status csv_reader_feed(struct csv_reader *reader, const void *data, size_t size,
                                          struct error *err);

/* Says that the text has ended. CORRUPT where it ends within quotes. */
[[nodiscard]] enum status csv_reader_end(struct csv_reader *reader, struct error *err);
