/*
 * dataset_test.c - idx files, plain and gzip: what is read, and how every malformed one is refused.
 *
 * Files are written here byte by byte, after the format's description.
 */
#include "testing.h"

#include "train/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];
static char images_path[128];
static char labels_path[128];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/dataset_test.XXXXXX");
    if (mkdtemp(folder) == nullptr)
        return -1;
    snprintf(images_path, sizeof(images_path), "%s/images", folder);
    snprintf(labels_path, sizeof(labels_path), "%s/labels", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(images_path);
    unlink(labels_path);
    return rmdir(folder);
}

static void write_plain(const char *path, const void *data, size_t size)
{
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_gzip(const char *path, const void *data, size_t size)
{
    gzFile const file = gzopen(path, "wb9");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

/* Three images of 2x3 and their labels. */
static const uint8_t three_images[] = {0,  0,  8,  3,  0,  0,  0,   3,  0,  0,   0,  2,
                                       0,  0,  0,  3,  0,  51, 102, 1,  2,  255, 10, 11,
                                       12, 13, 14, 15, 20, 21, 22,  23, 24, 25};
static const uint8_t three_labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1};

static enum status load(const uint32_t *indices, uint32_t count, struct dataset *ret,
                        struct error *err)
{
    return dataset_load(images_path, labels_path, 3, indices, count, ret, err);
}

static void all_samples_are_read_plain_and_packed(void **state)
{
    for (int packed = 0; packed < 2; packed++) {
        void (*const write_file)(const char *, const void *, size_t) =
            packed ? write_gzip : write_plain;
        struct dataset set = {0};
        write_file(images_path, three_images, sizeof(three_images));
        write_file(labels_path, three_labels, sizeof(three_labels));
        assert_int_equal(load(nullptr, 0, &set, nullptr), STATUS_OK);
        assert_int_equal(set.samples, 3);
        assert_int_equal(set.features, 6);
        assert_int_equal(set.rows, 2);
        assert_int_equal(set.columns, 3);
        assert_memory_equal(set.pixels, three_images + 16, 18);
        assert_memory_equal(set.labels, three_labels + 8, 3);
        dataset_deinit(&set);
        assert_null(set.pixels);
    }
}

static void only_the_chosen_samples_are_held(void **state)
{
    const uint32_t chosen[] = {0, 2};
    struct dataset set = {0};
    write_gzip(images_path, three_images, sizeof(three_images));
    write_plain(labels_path, three_labels, sizeof(three_labels));
    assert_int_equal(load(chosen, 2, &set, nullptr), STATUS_OK);
    assert_int_equal(set.samples, 2);
    assert_memory_equal(set.pixels, three_images + 16, 6);
    assert_memory_equal(set.pixels + 6, three_images + 28, 6);
    assert_int_equal(set.labels[0], 2);
    assert_int_equal(set.labels[1], 1);
    dataset_deinit(&set);
    assert_int_equal(load(chosen, 0, &set, nullptr), STATUS_OK);
    assert_int_equal(set.samples, 0);
    dataset_deinit(&set);
}

static void a_batch_is_f32_from_0_to_1_in_the_order_of_picks(void **state)
{
    struct dataset set = {0};
    const uint32_t picks[] = {2, 0};
    float inputs[12];
    uint8_t labels[2];
    write_plain(images_path, three_images, sizeof(three_images));
    write_plain(labels_path, three_labels, sizeof(three_labels));
    assert_int_equal(load(nullptr, 0, &set, nullptr), STATUS_OK);
    dataset_batch(&set, picks, 0, 2, inputs, labels);
    assert_true(inputs[0] == 20 / 255.0f && inputs[6] == 0 && inputs[7] == 0.2f);
    assert_true(inputs[11] == 1);
    assert_int_equal(labels[0], 1);
    assert_int_equal(labels[1], 2);
    dataset_batch(&set, nullptr, 1, 1, inputs, labels);
    assert_true(inputs[0] == 10 / 255.0f);
    assert_int_equal(labels[0], 0);
    dataset_deinit(&set);
}

static void indices_out_of_order_or_range_are_refused(void **state)
{
    const uint32_t far[] = {1, 3};
    const uint32_t twice[] = {1, 1};
    struct dataset set = {0};
    struct error err = {0};
    write_plain(images_path, three_images, sizeof(three_images));
    write_plain(labels_path, three_labels, sizeof(three_labels));
    assert_int_equal(load(far, 2, &set, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "sample 3 was asked for; there are 3"));
    assert_int_equal(load(twice, 2, &set, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "1 follows 1"));
}

/* Changes that are made to the good files: size < 0 leaves the size. */
static void malformed_files_are_refused_with_the_reason(void **state)
{
    static const struct {
        bool labels;
        int at; /* the byte that is changed, or -1 */
        uint8_t value;
        int size; /* what is written of the file, or -1 */
        enum status status;
        const char *text;
    } cases[] = {
        {false, 2, 0x0d, -1, STATUS_CORRUPT, "begins with 0x00000d03; an idx3 file of bytes"},
        {false, 3, 1, -1, STATUS_CORRUPT, "begins with 0x00000801; an idx3"},
        {true, 3, 3, -1, STATUS_CORRUPT, "begins with 0x00000803; an idx1"},
        {false, -1, 0, 15, STATUS_CORRUPT, "too short for the 16-byte header"},
        {true, -1, 0, 0, STATUS_CORRUPT, "too short for the 8-byte header"},
        {false, 7, 0, -1, STATUS_CORRUPT, "says 0 samples"},
        {false, 4, 0x7f, -1, STATUS_LIMIT, "says 2130706435 samples; 1 to 16777216"},
        {false, 11, 0, -1, STATUS_CORRUPT, "says 0x3 pixels"},
        {false, 8, 0xff, -1, STATUS_LIMIT, "says 4278190082x3 pixels"},
        {true, 8, 3, -1, STATUS_CORRUPT, "sample 0 has label 3; labels of 3 classes are 0 to 2"},
        {true, -1, 0, 10, STATUS_CORRUPT, nullptr},
        {false, -1, 0, 33, STATUS_CORRUPT, nullptr},
        {false, -1, 0, 35, STATUS_CORRUPT, nullptr},
        {true, -1, 0, 12, STATUS_CORRUPT, nullptr},
        {false, 6, 1, -1, STATUS_CORRUPT, "holds 259 images"},
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        const bool packed = i % 2 == 1;
        uint8_t images[64] = {0};
        uint8_t labels[64] = {0};
        memcpy(images, three_images, sizeof(three_images));
        memcpy(labels, three_labels, sizeof(three_labels));
        uint8_t *const bad = cases[i / 2].labels ? labels : images;
        const int full = (int)(cases[i / 2].labels ? sizeof(three_labels) : sizeof(three_images));
        const int size = cases[i / 2].size < 0 ? full : cases[i / 2].size;
        if (cases[i / 2].at >= 0)
            bad[cases[i / 2].at] = cases[i / 2].value;
        void (*const write_file)(const char *, const void *, size_t) =
            packed ? write_gzip : write_plain;
        write_file(images_path, images, (size_t)(cases[i / 2].labels ? 34 : size));
        write_file(labels_path, labels, (size_t)(cases[i / 2].labels ? size : 11));
        struct dataset set = {.samples = 99};
        struct error err = {0};
        assert_int_equal(load(nullptr, 0, &set, &err), cases[i / 2].status);
        assert_int_equal(set.samples, 99);
        assert_non_null(strstr(err.text, cases[i / 2].labels ? labels_path : images_path));
        /* A plain file that is too short for a larger count is seen by its size already. */
        if (cases[i / 2].text != nullptr && (packed || cases[i / 2].at != 6))
            assert_non_null(strstr(err.text, cases[i / 2].text));
        else if (!packed)
            assert_non_null(strstr(err.text, "bytes long; its header asks for"));
        else if (size < full)
            assert_non_null(strstr(err.text, "ends after"));
        else
            assert_non_null(strstr(err.text, "goes on after"));
    }
}

static void damaged_gzip_is_refused(void **state)
{
    uint8_t packed[256];
    struct dataset set = {0};
    struct error err = {0};
    write_gzip(images_path, three_images, sizeof(three_images));
    write_gzip(labels_path, three_labels, sizeof(three_labels));
    FILE *const file = fopen(images_path, "rb");
    const size_t size = fread(packed, 1, sizeof(packed), file);
    fclose(file);
    /* Every shorter file, from after the magic number on. */
    for (size_t cut = 2; cut < size; cut++) {
        write_plain(images_path, packed, cut);
        assert_int_equal(load(nullptr, 0, &set, &err), STATUS_CORRUPT);
    }
    packed[size - 6] ^= 1; /* the checksum */
    write_plain(images_path, packed, size);
    assert_int_equal(load(nullptr, 0, &set, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "damaged"));
}

/* 60 bytes that claim to be 16 million images of a megabyte each are refused before malloc. */
static void a_small_packed_file_cannot_claim_a_large_content(void **state)
{
    uint8_t claim[16] = {0, 0, 8, 3, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0};
    uint8_t label_claim[8] = {0, 0, 8, 1, 1, 0, 0, 0};
    uint8_t *labels = nullptr;
    uint32_t samples = 0;
    struct error err = {0};
    struct dataset set = {0};
    write_gzip(labels_path, label_claim, sizeof(label_claim));
    assert_int_equal(dataset_labels_load(labels_path, 10, &labels, &samples, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "cannot unpack to the 16777224"));
    write_gzip(images_path, claim, sizeof(claim));
    write_plain(labels_path, three_labels, sizeof(three_labels));
    assert_int_equal(load(nullptr, 0, &set, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "cannot unpack to the 17592186044432"));
}

static void missing_files_and_folders_are_named(void **state)
{
    struct dataset set = {0};
    struct error err = {0};
    uint8_t *labels = nullptr;
    uint32_t samples = 0;
    write_plain(labels_path, three_labels, sizeof(three_labels));
    unlink(images_path);
    assert_int_equal(load(nullptr, 0, &set, &err), STATUS_IO);
    assert_non_null(strstr(err.text, images_path));
    assert_int_equal(dataset_labels_load(folder, 3, &labels, &samples, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "is not a file"));
    assert_int_equal(dataset_labels_load(labels_path, 0, &labels, &samples, &err), STATUS_INVAL);
    assert_int_equal(dataset_labels_load(labels_path, 257, &labels, &samples, &err), STATUS_INVAL);
}

/* n samples of two features, numbered by their first; bytes or f32. */
static struct dataset numbered(uint32_t samples, bool bytes)
{
    struct dataset set = {.samples = samples, .features = 2};
    set.labels = malloc(samples);
    set.pixels = bytes ? malloc((size_t)samples * 2) : nullptr;
    set.values = bytes ? nullptr : malloc((size_t)samples * 2 * sizeof(float));
    for (uint32_t i = 0; i < samples; i++) {
        set.labels[i] = (uint8_t)(i % 7);
        if (bytes)
            set.pixels[2 * i] = set.pixels[2 * i + 1] = (uint8_t)i;
        else
            set.values[2 * i] = set.values[2 * i + 1] = (float)i;
    }
    return set;
}

static uint32_t number_of(const struct dataset *set, uint32_t i)
{
    const uint32_t number =
        set->pixels != nullptr ? set->pixels[2 * i + 1] : (uint32_t)set->values[2 * i + 1];
    assert_int_equal(set->labels[i], number % 7); /* a sample keeps its label */
    return number;
}

static void a_held_out_share_is_taken_off_once_and_in_order(void **state)
{
    static const struct {
        uint32_t samples;
        double share;
        uint32_t held;
    } cases[] = {
        {200, 0.1, 20}, {15, 0.1, 2}, {14, 0.1, 1}, {2, 0.001, 1}, {3, 0.9, 2}, {2, 0.9, 1},
    };
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        const uint32_t samples = cases[i / 2].samples;
        struct dataset data = numbered(samples, i % 2 == 0);
        struct dataset held = {0};
        bool seen[200] = {0};
        assert_int_equal(dataset_hold_out(&data, cases[i / 2].share, 1, 2, &held, nullptr),
                         STATUS_OK);
        assert_int_equal(held.samples, cases[i / 2].held);
        assert_int_equal(data.samples, samples - held.samples);
        assert_int_equal(held.features, 2);
        for (uint32_t k = 0; k < samples; k++) {
            const struct dataset *const set = k < held.samples ? &held : &data;
            const uint32_t at = k < held.samples ? k : k - held.samples;
            const uint32_t number = number_of(set, at);
            assert_false(seen[number]);
            seen[number] = true;
            assert_true(at == 0 || number > number_of(set, at - 1));
        }
        dataset_deinit(&data);
        dataset_deinit(&held);
    }
}

static void nothing_is_held_out_of_a_single_sample(void **state)
{
    for (uint32_t samples = 0; samples < 2; samples++) {
        struct dataset data = numbered(samples, true);
        struct dataset held = {.samples = 9};
        assert_int_equal(dataset_hold_out(&data, 0.9, 1, 2, &held, nullptr), STATUS_OK);
        assert_int_equal(held.samples, 0);
        assert_null(held.labels);
        assert_int_equal(data.samples, samples);
        dataset_deinit(&data);
    }
}

static void the_same_seed_and_node_hold_out_the_same_others_do_not(void **state)
{
    static const uint64_t keys[][2] = {{1, 2}, {1, 2}, {2, 2}, {1, 3}};
    uint8_t first[20];
    for (size_t i = 0; i < 4; i++) {
        struct dataset data = numbered(200, true);
        struct dataset held = {0};
        assert_int_equal(dataset_hold_out(&data, 0.05, keys[i][0], keys[i][1], &held, nullptr),
                         STATUS_OK);
        assert_int_equal(held.samples, 10);
        if (i == 0)
            memcpy(first, held.pixels, sizeof(first));
        assert_int_equal(memcmp(first, held.pixels, sizeof(first)) == 0, i <= 1);
        dataset_deinit(&data);
        dataset_deinit(&held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_samples_are_read_plain_and_packed),
        cmocka_unit_test(only_the_chosen_samples_are_held),
        cmocka_unit_test(a_batch_is_f32_from_0_to_1_in_the_order_of_picks),
        cmocka_unit_test(indices_out_of_order_or_range_are_refused),
        cmocka_unit_test(malformed_files_are_refused_with_the_reason),
        cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(a_small_packed_file_cannot_claim_a_large_content),
        cmocka_unit_test(missing_files_and_folders_are_named),
        cmocka_unit_test(a_held_out_share_is_taken_off_once_and_in_order),
        cmocka_unit_test(nothing_is_held_out_of_a_single_sample),
        cmocka_unit_test(the_same_seed_and_node_hold_out_the_same_others_do_not),
    };
    return cmocka_run_group_tests_name("dataset", tests, make_folder, remove_folder);
}
