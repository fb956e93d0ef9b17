/*
 * dataset_csv_test.c - samples from CSV files: what is read, and that every malformed line is named
 * with its file, line and column and what would be right.
 */
#include "testing.h"

#include "train/dataset_csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];
static char path[96];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/dataset_csv.XXXXXX");
    if (mkdtemp(folder) == nullptr)
        return -1;
    snprintf(path, sizeof(path), "%s/f.csv", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static struct csv_format format(enum csv_header header, const char *label)
{
    return (struct csv_format){.separator = ',', .header = header, .label = label};
}

static void write_plain(const char *text, size_t size)
{
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Reads all samples of a text with two features, both from memory and from a file. */
static void expect_samples(const char *text, struct csv_format f, const float *values,
                           const uint8_t *labels, uint32_t count)
{
    for (int from_file = 0; from_file < 2; from_file++) {
        struct dataset set = {0};
        struct error err = {0};
        const struct slice memory = {(const uint8_t *)text, strlen(text)};
        write_plain(text, strlen(text));
        const enum status status = from_file ? dataset_csv_load(path, &f, 3, nullptr, 0, &set, &err)
                                             : dataset_csv_read("f.csv", memory, &f, 3, &set, &err);
        if (status != STATUS_OK)
            fail_msg("%s", err.text);
        assert_int_equal(set.samples, count);
        assert_int_equal(set.features, 2);
        assert_null(set.pixels);
        assert_memory_equal(set.values, values, 2 * count * sizeof(float));
        assert_memory_equal(set.labels, labels, count);
        dataset_deinit(&set);
    }
}

static void the_label_is_found_by_name_or_index_and_the_rest_are_features(void **state)
{
    static const float values[] = {0.5f, -1, 1e-3f, 7};
    static const uint8_t labels[] = {2, 0};
    static const struct {
        const char *text;
        enum csv_header header;
        const char *label;
    } cases[] = {
        {"a,b,label\n0.5,-1,2\n1e-3,7,0\n", CSV_HEADER_AUTO, "label"},
        {"label,a,b\n2,0.5,-1\n0,1e-3,7\n", CSV_HEADER_AUTO, "label"},
        {"a,label,b\n0.5,2,-1\n1e-3,0,7\n", CSV_HEADER_YES, "label"},
        {"a,b,label\r\n0.5,-1,2\r\n1e-3,7,0", CSV_HEADER_AUTO, "2"},
        {"a,b,label\n0.5,-1,2\n1e-3,7,0\n", CSV_HEADER_AUTO, "-1"},
        {"a,y,b\n0.5,2,-1\n1e-3,0,7\n", CSV_HEADER_AUTO, "-2"},
        {"0.5,2,-1\n1e-3,0,7\n", CSV_HEADER_AUTO, "1"},
        {"0.5,2,-1\n1e-3,0,7\n", CSV_HEADER_NO, "-2"},
        /* Names that are numbers: yes makes them names, and a name goes before an index. */
        {"0,1,2\n0.5,-1,2\n1e-3,7,0\n", CSV_HEADER_YES, "2"},
        {"0,2,1\n0.5,2,-1\n1e-3,0,7\n", CSV_HEADER_YES, "2"},
        {"\"a\",\"the \"\"label\"\", quoted\",b\n\"0.5\",\"2\",\" -1 \"\n\n1e-3, 0 ,7\n",
         CSV_HEADER_AUTO, "the \"label\", quoted"},
        {"\xef\xbb\xbflabel,a,b\n2,0.5,-1\n0,1e-3,7\n", CSV_HEADER_AUTO, "label"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect_samples(cases[i].text, format(cases[i].header, cases[i].label), values, labels, 2);
    struct csv_format semicolon = format(CSV_HEADER_AUTO, "label");
    semicolon.separator = ';';
    expect_samples("label;a;b\n2;0.5;-1\n0;1e-3;7\n", semicolon, values, labels, 2);
}

static void only_the_chosen_samples_are_held_plain_and_packed(void **state)
{
    static const char text[] = "l,a\n0,10\n1,11\n2,12\n0,13\n";
    const struct csv_format f = format(CSV_HEADER_AUTO, "l");
    const uint32_t chosen[] = {1, 3};
    for (int packed = 0; packed < 2; packed++) {
        struct dataset set = {0};
        uint8_t *labels = nullptr;
        uint32_t samples = 0;
        if (packed) {
            gzFile const file = gzopen(path, "wb");
            assert_int_equal(gzwrite(file, text, sizeof(text) - 1), sizeof(text) - 1);
            assert_int_equal(gzclose(file), Z_OK);
        } else {
            write_plain(text, sizeof(text) - 1);
        }
        assert_int_equal(dataset_csv_labels(path, &f, 3, &labels, &samples, nullptr), STATUS_OK);
        assert_int_equal(samples, 4);
        assert_memory_equal(labels, "\0\1\2\0", 4);
        free(labels);
        assert_int_equal(dataset_csv_load(path, &f, 3, chosen, 2, &set, nullptr), STATUS_OK);
        assert_int_equal(set.samples, 2);
        assert_true(set.values[0] == 11 && set.values[1] == 13);
        assert_memory_equal(set.labels, "\1\0", 2);
        dataset_deinit(&set);
        assert_int_equal(dataset_csv_load(path, &f, 3, chosen, 0, &set, nullptr), STATUS_OK);
        assert_int_equal(set.samples, 0);
        dataset_deinit(&set);
    }
}

static void a_batch_has_the_values_as_they_are_in_the_order_of_picks(void **state)
{
    static const char text[] = "l,a,b\n0,10,20\n1,-11,21\n2,12,22.5\n";
    const struct csv_format f = format(CSV_HEADER_AUTO, "l");
    const struct slice memory = {(const uint8_t *)text, sizeof(text) - 1};
    const uint32_t picks[] = {2, 1};
    struct dataset set = {0};
    float inputs[4];
    uint8_t labels[2];
    assert_int_equal(dataset_csv_read("f", memory, &f, 3, &set, nullptr), STATUS_OK);
    dataset_batch(&set, picks, 0, 2, inputs, labels);
    assert_true(inputs[0] == 12 && inputs[1] == 22.5f && inputs[2] == -11 && inputs[3] == 21);
    assert_memory_equal(labels, "\2\1", 2);
    dataset_batch(&set, nullptr, 1, 1, inputs, labels);
    assert_true(inputs[0] == -11);
    dataset_deinit(&set);
}

static void every_malformed_line_is_named_with_column_and_what_is_right(void **state)
{
    static const struct {
        const char *text;
        enum status status;
        const char *message;
    } cases[] = {
        {"label,age\n1,2\n1,abc\n", STATUS_CORRUPT,
         "f.csv:3: column \"age\" (index 1): \"abc\" is not a finite decimal number; a number as "
         "5, -0.25 or 1e-3 is right"},
        {"label,age\n1,nan\n", STATUS_CORRUPT,
         "f.csv:2: column \"age\" (index 1): \"nan\" is not a finite decimal number; a number as "
         "5, -0.25 or 1e-3 is right"},
        {"label,age\n1,-inf\n", STATUS_CORRUPT,
         "f.csv:2: column \"age\" (index 1): \"-inf\" is not a finite decimal number; a number as "
         "5, -0.25 or 1e-3 is right"},
        {"label,age\n1,1e39\n", STATUS_CORRUPT,
         "f.csv:2: column \"age\" (index 1): \"1e39\" is too large for a 32-bit float; a number "
         "between -3.4e38 and 3.4e38 is right"},
        {"label,age\n1,\n", STATUS_CORRUPT,
         "f.csv:2: column \"age\" (index 1): \"\" is empty; a decimal number is right"},
        {"label,age\n3,1\n", STATUS_CORRUPT,
         "f.csv:2: column \"label\" (index 0): \"3\" is no such class; a whole number from 0 to 2 "
         "(model.classes) is right"},
        {"label,age\n-1,1\n", STATUS_CORRUPT,
         "f.csv:2: column \"label\" (index 0): \"-1\" is not a label; a whole number from 0 to 2 "
         "(model.classes) is right"},
        {"label,age\n1.5,1\n", STATUS_CORRUPT,
         "f.csv:2: column \"label\" (index 0): \"1.5\" is not a label; a whole number from 0 to 2 "
         "(model.classes) is right"},
        {"label,age\n,1\n", STATUS_CORRUPT,
         "f.csv:2: column \"label\" (index 0): \"\" has no label; a whole number from 0 to 2 "
         "(model.classes) is right"},
        {"label,age\n1,1\n\n1,2,3\n", STATUS_CORRUPT,
         "f.csv:4: has 3 fields; 2, as in the first line, are right"},
        {"label,age\n1\n", STATUS_CORRUPT,
         "f.csv:2: has 1 fields; 2, as in the first line, are right"},
        {"label,age\n1,\"\n2\n\"\n1,x\n", STATUS_CORRUPT,
         "f.csv:2: column \"age\" (index 1): \"\\x0a2\\x0a\" is not a finite decimal number; a "
         "number as 5, -0.25 or 1e-3 is right"},
        {"label,age\n1,\"2\"x\n", STATUS_CORRUPT,
         "f.csv:2: column index 1: something follows the closing quote; a separator or the line's "
         "end is right, and a quote within quotes is written twice"},
        {"label\n1\n", STATUS_CORRUPT,
         "f.csv:1: has one field; a label and at least one number, with the separator ',' between "
         "them, are right"},
        {"", STATUS_CORRUPT, "f.csv: holds no samples; at least one line is right"},
        {"label,age\n", STATUS_CORRUPT,
         "f.csv: holds no samples; at least one line after the names is right"},
        {"class,age\n1,2\n", STATUS_INVAL,
         "f.csv:1: label column \"label\": there is none of this name; the name or index (0 to 1, "
         "or -1 for the last) of a column is right; the columns begin with class, age"},
        {"label,age,label\n1,2,1\n", STATUS_INVAL,
         "f.csv:1: label column \"label\": two columns have this name; the name or index (0 to 2, "
         "or -1 for the last) of a column is right; the columns begin with label, age, label"},
        {"1,2\n1,2\n", STATUS_INVAL,
         "f.csv:1: label column \"label\": there is no line of names; the name or index (0 to 1, "
         "or -1 for the last) of a column is right"},
    };
    const struct csv_format f = format(CSV_HEADER_AUTO, "label");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct dataset set = {.samples = 99};
        struct error err = {0};
        const struct slice memory = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
        assert_int_equal(dataset_csv_read("f.csv", memory, &f, 3, &set, &err), cases[i].status);
        assert_string_equal(err.text, cases[i].message);
        assert_int_equal(set.samples, 99);
    }
}

static void a_label_index_out_of_the_columns_is_refused(void **state)
{
    static const char *const wrong[] = {"2", "-3", "-0", "99999999999", "-99999999999"};
    static const char text[] = "1,2\n0,5\n";
    const struct slice memory = {(const uint8_t *)text, sizeof(text) - 1};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        const struct csv_format f = format(CSV_HEADER_NO, wrong[i]);
        struct dataset set = {0};
        struct error err = {0};
        assert_int_equal(dataset_csv_read("f", memory, &f, 3, &set, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, "there is no such index"));
    }
}

static void the_width_is_read_from_the_first_line_alone(void **state)
{
    static const char text[] = "label,a,b,c\nthis,line,is,not,looked,at\n";
    const struct csv_format f = format(CSV_HEADER_AUTO, "label");
    uint32_t features = 0;
    struct error err = {0};
    write_plain(text, sizeof(text) - 1);
    assert_int_equal(dataset_csv_features(path, &f, &features, nullptr), STATUS_OK);
    assert_int_equal(features, 3);
    write_plain("", 0);
    assert_int_equal(dataset_csv_features(path, &f, &features, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "is empty"));
}

static void a_file_longer_than_a_read_is_read_whole(void **state)
{
    enum { SAMPLES = 20000 };
    const struct csv_format f = format(CSV_HEADER_NO, "0");
    uint32_t *const chosen = malloc(SAMPLES * sizeof(*chosen));
    struct dataset set = {0};
    FILE *const file = fopen(path, "wb");
    for (int i = 0; i < SAMPLES; i++) {
        fprintf(file, "%d,%d.25,%d\n", i % 3, i, -i);
        chosen[i] = (uint32_t)i;
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(dataset_csv_load(path, &f, 3, chosen, SAMPLES, &set, nullptr), STATUS_OK);
    for (int i = 0; i < SAMPLES; i++) {
        assert_int_equal(set.labels[i], i % 3);
        assert_true(set.values[2 * i] == (float)i + 0.25f && set.values[2 * i + 1] == (float)-i);
    }
    dataset_deinit(&set);
    free(chosen);
}

static void bad_choices_and_files_are_refused(void **state)
{
    static const char text[] = "0,1\n1,2\n";
    const struct csv_format f = format(CSV_HEADER_NO, "0");
    const uint32_t far[] = {0, 2};
    const uint32_t twice[] = {1, 1};
    struct dataset set = {0};
    struct error err = {0};
    uint8_t packed[64];
    write_plain(text, sizeof(text) - 1);
    assert_int_equal(dataset_csv_load(path, &f, 3, far, 2, &set, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "sample 2 was asked for; there are 2"));
    assert_int_equal(dataset_csv_load(path, &f, 3, twice, 2, &set, &err), STATUS_INVAL);
    assert_int_equal(dataset_csv_load(path, &f, 257, nullptr, 0, &set, &err), STATUS_INVAL);
    assert_int_equal(dataset_csv_load(folder, &f, 3, nullptr, 0, &set, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "is not a file; give a CSV file"));
    assert_int_equal(dataset_csv_load("/nonexistent", &f, 3, nullptr, 0, &set, &err), STATUS_IO);
    gzFile const file = gzopen(path, "wb");
    assert_int_equal(gzwrite(file, text, sizeof(text) - 1), sizeof(text) - 1);
    assert_int_equal(gzclose(file), Z_OK);
    FILE *const written = fopen(path, "rb");
    const size_t size = fread(packed, 1, sizeof(packed), written);
    fclose(written);
    for (size_t cut = 2; cut < size; cut++) {
        write_plain((const char *)packed, cut);
        assert_int_equal(dataset_csv_load(path, &f, 3, nullptr, 0, &set, &err), STATUS_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_label_is_found_by_name_or_index_and_the_rest_are_features),
        cmocka_unit_test(only_the_chosen_samples_are_held_plain_and_packed),
        cmocka_unit_test(a_batch_has_the_values_as_they_are_in_the_order_of_picks),
        cmocka_unit_test(every_malformed_line_is_named_with_column_and_what_is_right),
        cmocka_unit_test(a_label_index_out_of_the_columns_is_refused),
        cmocka_unit_test(the_width_is_read_from_the_first_line_alone),
        cmocka_unit_test(a_file_longer_than_a_read_is_read_whole),
        cmocka_unit_test(bad_choices_and_files_are_refused),
    };
    return cmocka_run_group_tests_name("dataset_csv", tests, make_folder, remove_folder);
}
