/*
 * lab_options.c - the options of `fedra lab`.
 */
#include "cli/lab_options.h"

#include <stdio.h>
#include <stdlib.h>

int lab_options_parse(int argc, char **argv, struct lab_options *ret_options)
{
    struct lab_options *const options = ret_options;
    const struct option_spec specs[] = {
        {"run-dir", 0, "DIR", "where the results are, or will be [runs/JOB-lab]",
         .text = &options->folder},
        {"jobs", 'j', "J", "processes [one a core]", .number = &options->jobs, .min = 1,
         .max = LAB_JOBS_MAX},
        {"attacks", 0, nullptr, "list the attacks", .flag = &options->list},
        {"set", 0, "KEY=VALUE", "override a key; may be repeated", .list = &options->sets},
    };
    const struct option_table table = {
        .usage = "lab FILE [--run-dir DIR] [--jobs J] [--set KEY=VALUE]...",
        .help = "Trains a model under every attack of lab.attacks with every rule of lab.rules, "
                "for each share of liars, heterogeneity, noise and seed, and prints what each "
                "defence is worth; results as JSON lines and as a page are in the folder. Started "
                "again, it goes on. Exit code: 0, 130 Ctrl-C, 1 a fault, 2 wrong usage or "
                "configuration.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
        .operands_max = 1,
    };
    uint32_t operands = 0;
    const int early = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (early >= 0)
        return early;
    options->file = operands > 0 ? argv[1] : nullptr;
    if (options->file == nullptr && !options->list) {
        fprintf(stderr, "fedra lab: needs a configuration with a part lab:, as "
                        "examples/lab-quick.yaml\n");
        return EXIT_USAGE;
    }
    return -1;
}
