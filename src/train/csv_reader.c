/*
 * csv_reader.c - RFC 4180, a byte at a time.
 */
#include "train/csv_reader.h"

#include <string.h>

enum {
    AT_FIELD,     /* nothing of the field yet; it and the next come first, see csv_reader_feed */
    IN_PLAIN,     /* in a field without quotes */
    IN_QUOTES,    /* after the opening quote */
    AFTER_QUOTE,  /* after a quote within quotes: the closing one, or the first of two */
    AFTER_RETURN, /* after a carriage return outside quotes: a line feed follows */
};

static const unsigned char byte_order_mark[] = {0xef, 0xbb, 0xbf};

void csv_reader_init(struct csv_reader *reader, const char *name, char separator,
                     const struct csv_sink *sink)
{
    reader->name = name;
    reader->separator = separator;
    reader->sink = *sink;
    reader->state = AT_FIELD;
    reader->line = 1;
    reader->field_line = 1;
    reader->record_line = 1;
    reader->fields = 0;
    reader->mark = 0;
    reader->size = 0;
    memset(reader->special, 0, sizeof(reader->special));
    reader->special[(unsigned char)separator] = true;
    reader->special['"'] = true;
    reader->special['\n'] = true;
    reader->special['\r'] = true;
}

static enum status wrong(const struct csv_reader *reader, enum status status, const char *what,
                         struct error *err)
{
    return error_set(err, status, "%s:%llu: column index %u: %s", reader->name,
                     (unsigned long long)reader->line, reader->fields, what);
}

static enum status append(struct csv_reader *reader, char c, struct error *err)
{
    if (reader->size == CSV_FIELD_BYTES_MAX)
        return wrong(reader, STATUS_LIMIT,
                     "the field is longer than the 4096 bytes a field may have; a quote may be "
                     "missing at its end",
                     err);
    reader->text[reader->size++] = c;
    return STATUS_OK;
}
static_assert(CSV_FIELD_BYTES_MAX == 4096);

static enum status end_field(struct csv_reader *reader, struct error *err)
{
    if (reader->fields == CSV_FIELDS_MAX)
        return wrong(reader, STATUS_LIMIT, "the line has more fields than the 2097152 it may have",
                     err);
    reader->text[reader->size] = 0;
    const struct csv_field field = {.text = reader->text,
                                    .size = reader->size,
                                    .line = reader->field_line,
                                    .index = reader->fields};
    const enum status status = reader->sink.on_field(reader->sink.context, &field, err);
    reader->fields++;
    reader->size = 0;
    reader->state = AT_FIELD;
    return status;
}
static_assert(CSV_FIELDS_MAX == 2097152);

/* A line end; reader->line is still the line that ends. */
static enum status end_record(struct csv_reader *reader, struct error *err)
{
    const bool empty = reader->fields == 0 && reader->state == AT_FIELD;
    enum status status = empty ? STATUS_OK : end_field(reader, err);
    if (status == STATUS_OK && !empty)
        status =
            reader->sink.on_record(reader->sink.context, reader->record_line, reader->fields, err);
    reader->state = AT_FIELD;
    reader->fields = 0;
    return status;
}

/* A byte outside quotes: the field's own, or what ends it. */
static enum status take_plain(struct csv_reader *reader, char c, struct error *err)
{
    if (c == reader->separator)
        return end_field(reader, err);
    if (c == '\n')
        return end_record(reader, err);
    if (c == '\r') {
        /* An empty line stays one: the field is ended by the line feed. */
        if (reader->state != AT_FIELD || reader->fields > 0) {
            const enum status status = end_field(reader, err);
            if (status != STATUS_OK)
                return status;
        }
        reader->state = AFTER_RETURN;
        return STATUS_OK;
    }
    if (reader->state == AFTER_QUOTE)
        return wrong(reader, STATUS_CORRUPT,
                     "something follows the closing quote; a separator or the line's end is right, "
                     "and a quote within quotes is written twice",
                     err);
    if (c == '"' && reader->state == AT_FIELD) {
        reader->state = IN_QUOTES;
        return STATUS_OK;
    }
    if (c == '"')
        return wrong(reader, STATUS_CORRUPT,
                     "a quote within a field without quotes; put the field in quotes and write the "
                     "quote twice",
                     err);
    reader->state = IN_PLAIN;
    return append(reader, c, err);
}

static enum status take_after_return(struct csv_reader *reader, char c, struct error *err)
{
    if (c != '\n')
        return wrong(reader, STATUS_CORRUPT,
                     "a carriage return without a line feed; lines end in LF or CRLF", err);
    reader->state = AT_FIELD;
    const uint32_t fields = reader->fields;
    reader->fields = 0;
    if (fields == 0)
        return STATUS_OK;
    return reader->sink.on_record(reader->sink.context, reader->record_line, fields, err);
}

static void begin_field(struct csv_reader *reader)
{
    reader->field_line = reader->line;
    if (reader->fields == 0)
        reader->record_line = reader->line;
}

static enum status take(struct csv_reader *reader, char c, struct error *err)
{
    if (reader->state == AT_FIELD)
        begin_field(reader);
    if (reader->state == AFTER_RETURN)
        return take_after_return(reader, c, err);
    if (reader->state == IN_QUOTES && c == '"') {
        reader->state = AFTER_QUOTE;
        return STATUS_OK;
    }
    if (reader->state == IN_QUOTES)
        return append(reader, c, err);
    if (reader->state == AFTER_QUOTE && c == '"') {
        reader->state = IN_QUOTES;
        return append(reader, c, err);
    }
    return take_plain(reader, c, err);
}

/* What was taken for a byte order mark was none: its bytes are text. */
static enum status give_mark_back(struct csv_reader *reader, struct error *err)
{
    const uint32_t seen = reader->mark;
    enum status status = STATUS_OK;
    reader->mark = sizeof(byte_order_mark);
    for (uint32_t i = 0; i < seen && status == STATUS_OK; i++)
        status = take(reader, (char)byte_order_mark[i], err);
    return status;
}

/* Takes the run of bytes that are only themselves; gives how many they were. */
static size_t take_run(struct csv_reader *reader, const char *in, size_t size)
{
    const size_t room = CSV_FIELD_BYTES_MAX - reader->size;
    const size_t most = size < room ? size : room;
    size_t run = 0;
    while (run < most && !reader->special[(unsigned char)in[run]])
        run++;
    if (run == 0)
        return 0;
    if (reader->state == AT_FIELD)
        begin_field(reader);
    reader->state = IN_PLAIN;
    memcpy(reader->text + reader->size, in, run);
    reader->size += run;
    return run;
}

enum status csv_reader_feed(struct csv_reader *reader, const void *data, size_t size,
                            struct error *err)
{
    const char *const in = data;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < size && status == STATUS_OK; i++) {
        if (reader->mark == sizeof(byte_order_mark) && reader->state <= IN_PLAIN) {
            i += take_run(reader, in + i, size - i);
            if (i == size)
                break;
        }
        if (reader->mark < sizeof(byte_order_mark)) {
            if ((unsigned char)in[i] == byte_order_mark[reader->mark]) {
                reader->mark++;
                continue;
            }
            status = give_mark_back(reader, err);
        }
        if (status == STATUS_OK)
            status = take(reader, in[i], err);
        reader->line += in[i] == '\n';
    }
    return status;
}

enum status csv_reader_end(struct csv_reader *reader, struct error *err)
{
    if (reader->mark < sizeof(byte_order_mark)) {
        const enum status status = give_mark_back(reader, err);
        if (status != STATUS_OK)
            return status;
    }
    if (reader->state == IN_QUOTES)
        return error_set(err, STATUS_CORRUPT,
                         "%s:%llu: column index %u: a quote opens a field and no quote closes it",
                         reader->name, (unsigned long long)reader->field_line, reader->fields);
    if (reader->state == AFTER_RETURN)
        return take_after_return(reader, '\n', err);
    return end_record(reader, err);
}
