/*
 * csv_reader_test.c - RFC 4180's rules one by one, and every text that breaks them.
 *
 * Each text is fed at once and byte by byte: where the pieces are cut must not matter. What is
 * read is written down as "a|b@1" a record: the fields, then the line it began in.
 */
#include "testing.h"

#include "train/csv_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char seen[8192];
static uint32_t fields_seen;

static enum status on_field(void *context, const struct csv_field *field, struct error *err)
{
    assert_int_equal(field->text[field->size], 0);
    assert_int_equal(field->index, fields_seen++);
    if (field->index > 0)
        strcat(seen, "|");
    strcat(seen, field->text);
    return STATUS_OK;
}

static enum status on_record(void *context, uint64_t line, uint32_t fields, struct error *err)
{
    char text[32];
    assert_int_equal(fields, fields_seen);
    fields_seen = 0;
    snprintf(text, sizeof(text), "@%llu;", (unsigned long long)line);
    strcat(seen, text);
    return STATUS_OK;
}

static enum status run(const char *text, size_t size, size_t piece, char separator,
                       struct error *err)
{
    static struct csv_reader reader;
    const struct csv_sink sink = {on_field, on_record, nullptr};
    enum status status = STATUS_OK;
    seen[0] = 0;
    fields_seen = 0;
    csv_reader_init(&reader, "f", separator, &sink);
    for (size_t at = 0; at < size && status == STATUS_OK; at += piece)
        status = csv_reader_feed(&reader, text + at, size - at < piece ? size - at : piece, err);
    return status == STATUS_OK ? csv_reader_end(&reader, err) : status;
}

static void texts_give_the_fields_that_the_rfc_says(void **state)
{
    static const struct {
        const char *text;
        const char *records;
    } cases[] = {
        /* RFC 4180, section 2, rules 1, 2, 4, 5, 6, 7. */
        {"aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n", "aaa|bbb|ccc@1;zzz|yyy|xxx@2;"},
        {"aaa,bbb,ccc\r\nzzz,yyy,xxx", "aaa|bbb|ccc@1;zzz|yyy|xxx@2;"},
        {"\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx", "aaa|bbb|ccc@1;zzz|yyy|xxx@2;"},
        {"\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx", "aaa|b\r\nbb|ccc@1;zzz|yyy|xxx@3;"},
        {"\"aaa\",\"b\"\"bb\",\"ccc\"", "aaa|b\"bb|ccc@1;"},
        {"1,2\n3,4\n", "1|2@1;3|4@2;"},
        {"a b , c\n", "a b | c@1;"}, /* spaces are part of a field */
        {"", ""},
        {"\n\r\n\na,b\n\n\nc,d\n\n", "a|b@4;c|d@7;"}, /* empty lines are passed over */
        {",\n", "|@1;"},
        {",,", "||@1;"},
        {"\"\"\n", "@1;"}, /* a quoted empty field is a field */
        {"\"\",\"a,b\"\n", "|a,b@1;"},
        {"\"\"\"\"\n", "\"@1;"},
        {"\xef\xbb\xbf"
         "a,b\n",
         "a|b@1;"},
        {"\xef\xbb"
         "a,b\n",
         "\xef\xbb"
         "a|b@1;"},
        {"\xef\xbb", "\xef\xbb@1;"},
        {"a\xef\xbb\xbf,b\n", "a\xef\xbb\xbf|b@1;"},
        {"a,b\r", "a|b@1;"}, /* the end is a line end as good as any */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t piece = 1; piece <= 64; piece += 63) {
            struct error err = {0};
            const char *const text = cases[i].text;
            assert_int_equal(run(text, strlen(text), piece, ',', &err), STATUS_OK);
            assert_string_equal(seen, cases[i].records);
        }
    }
}

static void the_separator_is_the_one_that_was_given(void **state)
{
    assert_int_equal(run("1,5;2\t3\n", 8, 99, ';', nullptr), STATUS_OK);
    assert_string_equal(seen, "1,5|2\t3@1;");
    assert_int_equal(run("1,5;2\t3\n", 8, 99, '\t', nullptr), STATUS_OK);
    assert_string_equal(seen, "1,5;2|3@1;");
}

static void texts_that_break_the_rules_are_refused_with_line_and_column(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"a,b\n1,x\"y\n", "f:2: column index 1: a quote within a field without quotes"},
        {"\"a\"b,c\n", "f:1: column index 0: something follows the closing quote"},
        {"a\n\"b\" ,c\n", "f:2: column index 0: something follows the closing quote"},
        {"a,b\nc,\"d\n\n", "f:2: column index 1: a quote opens a field and no quote closes it"},
        {"a\rb\n", "f:1: column index 1: a carriage return without a line feed"},
        {"\r\r\n", "f:1: column index 0: a carriage return without a line feed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t piece = 1; piece <= 64; piece += 63) {
            struct error err = {0};
            const char *const text = cases[i].text;
            assert_int_equal(run(text, strlen(text), piece, ',', &err), STATUS_CORRUPT);
            assert_true(strncmp(err.text, cases[i].message, strlen(cases[i].message)) == 0);
        }
    }
}

static void a_field_ends_at_its_limit(void **state)
{
    static char text[CSV_FIELD_BYTES_MAX + 8];
    struct error err = {0};
    memset(text, 'x', sizeof(text));
    assert_int_equal(run(text, CSV_FIELD_BYTES_MAX, 1000, ',', &err), STATUS_OK);
    assert_int_equal(run(text, CSV_FIELD_BYTES_MAX + 1, 1000, ',', &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "f:1: column index 0: the field is longer than the 4096"));
    /* A quote that is never closed swallows the lines after it, up to there. */
    text[0] = '"';
    assert_int_equal(run(text, CSV_FIELD_BYTES_MAX + 2, 1000, ',', &err), STATUS_LIMIT);
}

static enum status count_only(void *context, const struct csv_field *field, struct error *err)
{
    return STATUS_OK;
}

static void a_record_ends_at_its_limit(void **state)
{
    static struct csv_reader reader;
    static char commas[CSV_FIELDS_MAX];
    const struct csv_sink sink = {count_only, on_record, nullptr};
    struct error err = {0};
    memset(commas, ',', sizeof(commas));
    csv_reader_init(&reader, "f", ',', &sink);
    assert_int_equal(csv_reader_feed(&reader, commas, sizeof(commas), &err), STATUS_OK);
    assert_int_equal(csv_reader_feed(&reader, commas, 1, &err), STATUS_LIMIT);
    assert_non_null(strstr(err.text, "more fields than the 2097152"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_give_the_fields_that_the_rfc_says),
        cmocka_unit_test(the_separator_is_the_one_that_was_given),
        cmocka_unit_test(texts_that_break_the_rules_are_refused_with_line_and_column),
        cmocka_unit_test(a_field_ends_at_its_limit),
        cmocka_unit_test(a_record_ends_at_its_limit),
    };
    return cmocka_run_group_tests_name("csv_reader", tests, nullptr, nullptr);
}
