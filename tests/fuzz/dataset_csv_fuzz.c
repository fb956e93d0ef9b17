/*
 * dataset_csv_fuzz.c - feeds any bytes to the reader of CSV samples, under every format.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over seeds made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "base/check.h"
#include "train/dataset_csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLASSES = 5 };

static void check_samples(const struct dataset *set)
{
    CHECK(set->samples >= 1 && set->features >= 1);
    for (size_t i = 0; i < (size_t)set->samples * set->features; i++)
        CHECK(isfinite(set->values[i]));
    for (uint32_t i = 0; i < set->samples; i++)
        CHECK(set->labels[i] < CLASSES);
}

/* What was read must, written out plainly, read back to the same bits. */
static void check_round_trip(const struct dataset *set)
{
    const struct csv_format format = {.separator = ',', .header = CSV_HEADER_NO, .label = "0"};
    struct dataset again = {0};
    char *text = nullptr;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    CHECK(file != nullptr);
    for (uint32_t i = 0; i < set->samples; i++) {
        fprintf(file, "%u", set->labels[i]);
        for (uint32_t j = 0; j < set->features; j++)
            fprintf(file, ",%.9g", (double)set->values[(size_t)i * set->features + j]);
        fprintf(file, "\n");
    }
    fclose(file);
    CHECK(dataset_csv_read("written", (struct slice){(uint8_t *)text, size}, &format, CLASSES,
                           &again, nullptr) == STATUS_OK);
    CHECK(again.samples == set->samples && again.features == set->features);
    CHECK(memcmp(again.labels, set->labels, set->samples) == 0);
    CHECK(memcmp(again.values, set->values, (size_t)set->samples * set->features * sizeof(float)) ==
          0);
    dataset_deinit(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separators[] = {',', ';', '\t'};
    static const char *const labels[] = {"label", "0", "-1"};
    for (size_t i = 0; i < 9 && data != nullptr; i++) {
        const struct csv_format format = {.separator = separators[i % 3],
                                          .header = (enum csv_header)(i / 3),
                                          .label = labels[(i + i / 3) % 3]};
        struct dataset set = {0};
        struct error err = {0};
        if (dataset_csv_read("fuzz", (struct slice){data, size}, &format, CLASSES, &set, &err) ==
            STATUS_OK) {
            check_samples(&set);
            check_round_trip(&set);
        } else {
            CHECK(err.text[0] != 0);
        }
        dataset_deinit(&set);
    }
    return 0;
}

#ifdef FUZZ_MAIN
#include "fuzz_driver.h"

static const char *const seeds[] = {
    "label,a,b\n1,0.5,-2e3\n4,\"7\",.25\n",
    "\xef\xbb\xbf\"the\nname\";label\r\n1.5;0\r\n\r\n2;4",
    "0,1\n4,1e38\n",
    "1\t\"a\"\"b\"\n0\t3\n",
};

static void run_damaged(const char *seed)
{
    static const char changes[] = "\",;\n\r\t0.-eE \xef";
    uint8_t text[256];
    const size_t size = strlen(seed);
    CHECK(size <= sizeof(text));
    memcpy(text, seed, size);
    for (size_t cut = 0; cut <= size; cut++)
        fuzz_exactly(text, cut);
    for (size_t at = 0; at < size; at++) {
        for (size_t i = 0; i < sizeof(changes); i++) { /* the zero byte too */
            const uint8_t was = text[at];
            text[at] = (uint8_t)changes[i];
            fuzz_exactly(text, size);
            text[at] = was;
        }
    }
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++)
        run_damaged(seeds[i]);
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif
