/*
 * config_fuzz.c - feeds any bytes to the configuration reader: as a file, and as a --set.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over the files named
 * as arguments, so that the seeds are part of the normal suite.
 */
#include "base/check.h"
#include "host/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read must, written out, read back to the same values. */
static void check_round_trip(const struct config *config)
{
    static struct config again;
    struct config_report report;
    char *text = nullptr;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    CHECK(file && config_write(config, file) == STATUS_OK);
    fclose(file);
    config_report_init(&report);
    CHECK(config_parse("written", text, size, nullptr, 0, &report, &again) == STATUS_OK);
    CHECK(!memcmp(config, &again, offsetof(struct config, origin)));
    config_report_deinit(&report);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    struct config_report report;
    config_report_init(&report);
    if (config_parse("fuzz", data, size, nullptr, 0, &report, &config) == STATUS_OK)
        check_round_trip(&config);
    config_report_deinit(&report);
    if (size < 4096) {
        char *const set = calloc(1, size + 1);
        CHECK(set);
        if (size > 0)
            memcpy(set, data, size);
        const char *const sets[] = {set};
        config_report_init(&report);
        if (config_load(nullptr, sets, 1, &report, &config) == STATUS_OK)
            check_round_trip(&config);
        config_report_deinit(&report);
        free(set);
    }
    return 0;
}

#ifdef FUZZ_MAIN
static uint8_t input[CONFIG_FILE_BYTES_MAX + 2];

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        FILE *const file = fopen(argv[i], "rb");
        if (!file)
            return 1;
        const size_t size = fread(input, 1, sizeof input, file);
        fclose(file);
        LLVMFuzzerTestOneInput(input, size);
    }
    return argc > 1 ? 0 : 1;
}
#endif
