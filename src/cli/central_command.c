/*
 * central_command.c - `fedra central`: trains the job's model in one place, to compare a federation
 * with.
 */
#include "cli/central_command.h"

#include "cli/config_command.h"
#include "host/central.h"
#include "host/terminal.h"
#include "store/durable_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void show_progress(void *context, uint64_t epochs, uint64_t epochs_total)
{
    printf("\rcentral: epoch %" PRIu64 " of %" PRIu64, epochs, epochs_total);
    fflush(stdout);
}

static enum status write_result(const struct central_result *result, const char *path,
                                struct error *err)
{
    char text[256];
    const int size =
        snprintf(text, sizeof(text),
                 "{\"accuracy\":%.17g,\"loss\":%.17g,\"samples\":%" PRIu64 ",\"epochs\":%" PRIu64
                 ",\"seconds\":%.3f}\n",
                 result->accuracy, result->loss, result->samples, result->epochs, result->seconds);
    const struct slice slice = {(const uint8_t *)text, (size_t)size};
    return durable_file_write(path, &slice, 1, err);
}

static int run(const struct config *config, const char *out)
{
    const bool shows = terminal_is_live(stdout);
    struct central_result result;
    struct error err = {0};
    enum status status =
        central_train(config, shows ? show_progress : nullptr, nullptr, &result, &err);
    if (shows)
        printf("\r\033[K");
    if (status == STATUS_OK)
        printf("central: accuracy %.4f  loss %.4f  on the test samples, after %" PRIu64
               " epochs over %" PRIu64 " samples  %.2f s\n",
               result.accuracy, result.loss, result.epochs, result.samples, result.seconds);
    fflush(stdout);
    if (status == STATUS_OK && out != nullptr)
        status = write_result(&result, out, &err);
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "fedra central: %s\n", err.text[0] != 0 ? err.text : status_text(status));
    return EXIT_FAILURE;
}

int central_command(int argc, char **argv)
{
    const char *file = nullptr;
    const char *out = nullptr;
    struct option_list sets = {0};
    const struct option_spec specs[] = {
        {"config", 'c', "FILE", "the job's configuration", .text = &file},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &sets},
        {"out", 0, "FILE", "write the figures there, as JSON", .text = &out},
    };
    const struct option_table table = {
        .usage = "central -c FILE [--set KEY=VALUE]... [--out FILE]",
        .help = "Trains the job's model in one place, on the samples of all nodes together, as "
                "central.* says, and measures it on the test samples: what a federation is "
                "compared with. Exit code: 0 done, 1 a fault, 2 wrong usage or configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
    };
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (early >= 0)
        return early;
    struct config *const config = malloc(sizeof(*config));
    int code = EXIT_USAGE;
    if (file == nullptr)
        fprintf(stderr, "fedra central: needs a configuration, -c FILE\n");
    else if (config == nullptr)
        fprintf(stderr, "fedra central: out of memory\n");
    else if (command_load_config(file, &sets, config) == STATUS_OK && config->central.epochs == 0)
        fprintf(stderr, "fedra central: central.epochs is 0, so there is nothing to train; --set "
                        "central.epochs=20\n");
    else if (config->central.epochs > 0)
        code = run(config, out);
    free(config);
    return code;
}
