/*
 * sim_options.c - the options of `fedra sim`.
 */
#include "cli/sim_options.h"

#include "cli/options.h"
#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS_DEFAULT = 1000 };

/* "17" or "1..1000". */
static bool parse_seeds(const char *text, uint64_t *ret_first, uint64_t *ret_last)
{
    char *end = nullptr;
    if (text[0] < '0' || text[0] > '9')
        return false;
    *ret_first = *ret_last = strtoull(text, &end, 10);
    if (strncmp(end, "..", 2) == 0 && end[2] >= '0' && end[2] <= '9')
        *ret_last = strtoull(end + 2, &end, 10);
    return *end == 0 && *ret_last >= *ret_first && *ret_last < UINT64_MAX / 2;
}

static int check(struct sim_request *request)
{
    request->first = 1;
    request->last = request->minutes > 0 ? UINT64_MAX / 2 : SEEDS_DEFAULT;
    if (request->seeds != nullptr &&
        !parse_seeds(request->seeds, &request->first, &request->last)) {
        fprintf(stderr, "fedra sim: --seeds %s: write one seed (17) or a range (1..1000)\n",
                request->seeds);
        return EXIT_USAGE;
    }
    if (request->trace && request->first != request->last) {
        fprintf(stderr, "fedra sim: --trace tells one run: give one seed, as --seeds 17\n");
        return EXIT_USAGE;
    }
    return -1;
}

int sim_options_parse(int argc, char **argv, struct sim_request *ret_request)
{
    struct sim_request request = {0};
    const struct option_spec specs[] = {
        {"seeds", 0, "A..B", "one seed, or a range (1..1000)", .text = &request.seeds},
        {"minutes", 0, "M", "begin no run after that long; without --seeds: seeds from 1 on",
         .number = &request.minutes, .min = 1, .max = 100000},
        {"nodes", 0, "N", "nodes of each run; without it each seed draws from 2 to 20",
         .number = &request.nodes, .min = 1, .max = SIM_NODES_MAX},
        {"only", 0, "FAULT,...", "no other faults than these (see --faults); none: calm runs",
         .text = &request.only},
        {"set", 0, "NAME=N,...",
         "numbers in the place of what a seed drew; a wrong name lists them", .text = &request.set},
        {"shrink", 0, nullptr, "of each failing seed, find the smallest plan that still fails",
         .flag = &request.shrink},
        {"jobs", 0, "J", "processes (one a core)", .number = &request.jobs, .min = 1,
         .max = SIM_JOBS_MAX},
        {"trace", 0, nullptr, "tell the run of one seed", .flag = &request.trace},
        {"faults", 0, nullptr, "list the faults", .flag = &request.list},
    };
    const struct option_table table = {
        .usage = "sim FILE [--nodes N] [--seed S] [--run-dir DIR] [--set KEY=VALUE]... [--sweep "
                 "KEY=VALUE,VALUE,...]... [--repeat R] | sim [--seeds A..B] [--minutes M] [--nodes "
                 "N] [--only FAULT,...] [--set NAME=N,...] [--shrink]",
        .help =
            "With a FILE: runs the job of that configuration on virtual time, with real "
            "training (docs/simulation.md; `fedra sim FILE --help` lists its options). Without: "
            "runs whole federations, each from a seed that draws its limits and its faults, and "
            "checks what Fedra promises (docs/simulator.md): for those who look for bugs. Exit: 0 "
            "all promises are kept, 1 a seed fails (the line that "
            "replays it is printed), 2 wrong usage.",
        .specs = specs,
        .spec_count = sizeof(specs) / sizeof(*specs),
    };
    uint32_t operands = 0;
    int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code < 0)
        code = check(&request);
    *ret_request = request;
    return code;
}
