/*
 * convergence_fuzz.c - feeds any bytes to the reader of a convergence state.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over states made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "base/check.h"
#include "learn/convergence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start(struct convergence *convergence, uint32_t window_size)
{
    const struct convergence_settings settings = {.window_size = window_size,
                                                  .patience = 3,
                                                  .divergence_patience = 2,
                                                  .max_rounds = 100,
                                                  .threshold = 0.01,
                                                  .divergence_threshold = 0.5,
                                                  .gradient_threshold = 1e-5};
    convergence_init(convergence, &settings);
}

static void record(struct convergence *convergence, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        const struct convergence_figures figures = {.round = i,
                                                    .loss = 2 - 0.01 * (double)(i % 7),
                                                    .accuracy = 0.01 * (double)(i % 5),
                                                    .aggregate_norm = 1,
                                                    .has_norm = true,
                                                    .has_loss = i % 4 != 3,
                                                    .has_accuracy = i % 3 != 2};
        convergence_record(convergence, &figures);
    }
}

/* What was read can be written again as it was, and gone on with. */
static void check_usable(struct convergence *convergence, struct slice state)
{
    struct bytes again;
    bytes_init(&again, CONVERGENCE_STATE_BYTES_MAX);
    CHECK(convergence_encode(convergence, &again) == STATUS_OK);
    CHECK(again.size == state.size && memcmp(again.data, state.data, state.size) == 0);
    bytes_deinit(&again);
    record(convergence, 10);
    CHECK(convergence->loss_count <= convergence->settings.window_size + 1);
    CHECK(isfinite(convergence->best_loss) && isfinite(convergence->best_accuracy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice state = {data, size};
    struct convergence widest, narrow;
    struct error err = {0};
    start(&widest, CONVERGENCE_WINDOW_MAX);
    start(&narrow, 1);
    const struct convergence before = narrow;
    const enum status status = convergence_decode(&widest, state, &err);
    CHECK(convergence_decode(&narrow, state, nullptr) == status);
    if (status == STATUS_OK) {
        check_usable(&widest, state);
        CHECK(narrow.loss_count <= 2 && narrow.accuracy_count <= 2);
        record(&narrow, 10);
    } else {
        CHECK(status == STATUS_CORRUPT || status == STATUS_VERSION);
        CHECK(err.text[0] != '\0');
        CHECK(memcmp(&narrow, &before, sizeof(before)) == 0);
    }
    return 0;
}

#ifdef FUZZ_MAIN
#include "fuzz_driver.h"

int main(int argc, char **argv)
{
    static const struct {
        uint32_t window_size;
        uint64_t rounds;
    } seeds[] = {{5, 0}, {5, 1}, {5, 4}, {5, 40}, {1, 9}, {CONVERGENCE_WINDOW_MAX, 300}};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        struct convergence convergence;
        struct bytes state;
        start(&convergence, seeds[i].window_size);
        record(&convergence, seeds[i].rounds);
        bytes_init(&state, CONVERGENCE_STATE_BYTES_MAX);
        CHECK(convergence_encode(&convergence, &state) == STATUS_OK);
        CHECK(convergence_decode(&convergence, bytes_slice(&state), nullptr) == STATUS_OK);
        fuzz_damaged(state.data, state.size);
        bytes_deinit(&state);
    }
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif
