/*
 * deal_out.c - writes which node has which training sample, as a simulation of FILE with so many
 * nodes has it: u32 little-endian, one a sample, in the order of the file; 2^32 - 1 is validation.
 *
 * So that another simulator can be given the very same shares. usage: deal_out FILE NODES SEED
 */
#include "host/config.h"
#include "host/job_data.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    struct config_report report;
    struct error err = {0};
    uint32_t *owner = nullptr;
    uint32_t samples = 0;
    if (argc != 4) {
        fprintf(stderr, "usage: deal_out FILE NODES SEED\n");
        return 2;
    }
    struct config *const config = malloc(sizeof(*config));
    if (config == nullptr)
        return EXIT_FAILURE;
    config_report_init(&report);
    enum status status = config_load(argv[1], nullptr, 0, &report, config);
    fprintf(stderr, "%.*s", (int)report.text.size, (const char *)report.text.data);
    if (status == STATUS_OK) {
        config->data.parts = strtoul(argv[2], nullptr, 10);
        config->job.seed = strtoul(argv[3], nullptr, 10);
        status = job_deal_out(config, &owner, &samples, &err);
        fprintf(stderr, "%s", err.text);
    }
    if (status == STATUS_OK &&
        (fwrite(owner, sizeof(*owner), samples, stdout) != samples || fflush(stdout) != 0))
        status = STATUS_IO;
    free(owner);
    free(config);
    config_report_deinit(&report);
    return status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
