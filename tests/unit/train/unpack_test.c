/*
 * unpack_test.c - gzip files made plain: all bytes, or an error and no file.
 */
#include "testing.h"

#include "train/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { CONTENT_BYTES = 700001 }; /* more than two chunks, no multiple of anything */

static char folder[] = "/tmp/fedra-unpack-XXXXXX";
static char packed[64];
static char plain[64];
static uint8_t content[CONTENT_BYTES];

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *path, uint8_t *ret, size_t capacity)
{
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(ret, 1, capacity, file);
    assert_int_equal(fclose(file), 0);
    return size;
}

static void expect_content(void)
{
    static uint8_t found[CONTENT_BYTES + 1];
    assert_int_equal(read_file(plain, found, sizeof(found)), CONTENT_BYTES);
    assert_memory_equal(found, content, CONTENT_BYTES);
}

static void expect_error(enum status wanted, const char *text)
{
    struct error err = {0};
    assert_int_equal(unpack_gzip(packed, plain, &err), wanted);
    assert_non_null(strstr(err.text, text));
    assert_int_not_equal(access(plain, F_OK), 0);
}

static int make_content(void **state)
{
    assert_non_null(mkdtemp(folder));
    snprintf(packed, sizeof(packed), "%s/packed", folder);
    snprintf(plain, sizeof(plain), "%s/plain", folder);
    for (size_t i = 0; i < CONTENT_BYTES; i++)
        content[i] = (uint8_t)((i * i) >> 7);
    return 0;
}

static int remove_content(void **state)
{
    unlink(packed);
    unlink(plain);
    return rmdir(folder);
}

static void pack(void)
{
    const gzFile file = gzopen(packed, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, content, CONTENT_BYTES), CONTENT_BYTES);
    assert_int_equal(gzclose(file), Z_OK);
}

static void every_byte_is_there_and_an_older_file_is_replaced(void **state)
{
    struct error err = {0};
    static uint8_t older[CONTENT_BYTES + 100000];
    write_file(plain, older, sizeof(older));
    pack();
    assert_int_equal(unpack_gzip(packed, plain, &err), STATUS_OK);
    expect_content();
}

static void a_plain_file_is_copied(void **state)
{
    struct error err = {0};
    write_file(packed, content, CONTENT_BYTES);
    assert_int_equal(unpack_gzip(packed, plain, &err), STATUS_OK);
    expect_content();
}

static void damage_is_seen_and_leaves_no_file(void **state)
{
    static uint8_t bytes[CONTENT_BYTES];
    pack();
    const size_t size = read_file(packed, bytes, sizeof(bytes));
    assert_true(size > 1000 && size < sizeof(bytes));
    write_file(packed, bytes, size - 500); /* cut off */
    expect_error(STATUS_CORRUPT, "packed");
    bytes[size - 6] ^= 1; /* in the checksum at the end */
    write_file(packed, bytes, size);
    expect_error(STATUS_CORRUPT, "packed");
}

static void what_is_not_there_is_named(void **state)
{
    struct error err = {0};
    unlink(packed);
    expect_error(STATUS_IO, "packed");
    pack();
    assert_int_equal(unpack_gzip(packed, "/nowhere/plain", &err), STATUS_IO);
    assert_non_null(strstr(err.text, "/nowhere/plain"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_there_and_an_older_file_is_replaced),
        cmocka_unit_test(a_plain_file_is_copied),
        cmocka_unit_test(damage_is_seen_and_leaves_no_file),
        cmocka_unit_test(what_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, make_content, remove_content);
}
