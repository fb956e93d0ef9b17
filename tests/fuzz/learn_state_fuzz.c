/*
 * learn_state_fuzz.c - feeds any bytes to the reader of what a job carries from round to round.
 *
 * With clang's -fsanitize=fuzzer it is a fuzzer; without (FUZZ_MAIN) it runs over states made here,
 * each cut at every length and with every byte changed, and over the files named as arguments.
 */
#include "host/learn_state.h"

#include "base/check.h"

#include <string.h>

enum { STATE_BYTES_MAX = 2 * CONVERGENCE_STATE_BYTES_MAX };

static const struct convergence_settings settings = {.window_size = CONVERGENCE_WINDOW_MAX,
                                                     .patience = 3,
                                                     .divergence_patience = 2,
                                                     .max_rounds = 100,
                                                     .threshold = 0.01,
                                                     .divergence_threshold = 0.5};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written again as it was; what was not changes nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct convergence convergence;
    struct validated validated;
    struct bytes again;
    struct error err = {0};
    convergence_init(&convergence, &settings);
    memset(&validated, 0x5a, sizeof(validated));
    const struct convergence before = convergence;
    const struct validated validated_before = validated;
    const enum status status =
        learn_state_decode((struct slice){data, size}, &convergence, &validated, &err);
    if (status != STATUS_OK) {
        CHECK(status == STATUS_CORRUPT || status == STATUS_VERSION);
        CHECK(err.text[0] != 0);
        CHECK(memcmp(&convergence, &before, sizeof(before)) == 0);
        CHECK(memcmp(&validated, &validated_before, sizeof(validated)) == 0);
        return 0;
    }
    for (int i = 0; i < VALIDATED_COUNT; i++)
        CHECK(validated.excess[i] >= 0 && validated.excess[i] <= VALIDATED_EXCESS_MAX);
    const bool has_both = load_u32le(data) == 2;
    bytes_init(&again, STATE_BYTES_MAX);
    CHECK(learn_state_encode(&convergence, has_both ? &validated : nullptr, &again) == STATUS_OK);
    CHECK(again.size == size && memcmp(again.data, data, size) == 0);
    bytes_deinit(&again);
    return 0;
}

#ifdef FUZZ_MAIN
#include "fuzz_driver.h"

int main(int argc, char **argv)
{
    static const struct validated seen = {.excess = {0, 0.25, 1, 1e-300}};
    for (uint64_t i = 0; i < 4; i++) {
        struct convergence convergence;
        struct bytes state;
        convergence_init(&convergence, &settings);
        for (uint64_t round = 1; round <= 5 * i; round++)
            convergence_record(&convergence,
                               &(struct convergence_figures){
                                   .round = round, .loss = 1 / (double)round, .has_loss = true});
        bytes_init(&state, STATE_BYTES_MAX);
        CHECK(learn_state_encode(&convergence, i % 2 == 0 ? &seen : nullptr, &state) == STATUS_OK);
        LLVMFuzzerTestOneInput(state.data, state.size);
        fuzz_damaged(state.data, state.size);
        bytes_deinit(&state);
    }
    for (int i = 1; i < argc; i++)
        fuzz_file(argv[i]);
    return 0;
}
#endif
