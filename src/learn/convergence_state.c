/*
 * convergence_state.c - the state of convergence as bytes that outlive the process.
 *
 * Layout, all little-endian: u32 version; u64 recorded, best_round; f64 best_loss, best_accuracy;
 * u32 loss_plateau, accuracy_plateau, both_plateau, risen, best_is_last, reason, loss_count,
 * accuracy_count; f64[loss_count] best_losses, f64[accuracy_count] best_accuracies. The verdict
 * follows from the reason.
 */
#include "learn/convergence.h"

#include <math.h>
#include <string.h>

enum {
    STATE_VERSION = 1,
    VERSION_BYTES = 4,
    HEAD_BYTES = VERSION_BYTES + 4 * 8 + 8 * 4, /* all but the two histories */
    HISTORY_MAX = CONVERGENCE_WINDOW_MAX + 1,
};

static_assert(HEAD_BYTES + 2 * HISTORY_MAX * 8 <= CONVERGENCE_STATE_BYTES_MAX);

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    store_u32le(at, value);
    return at + 4;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    store_u64le(at, value);
    return at + 8;
}

static uint8_t *put_f64(uint8_t *at, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return put_u64(at, bits);
}

static const uint8_t *get_u32(const uint8_t *at, uint32_t *ret_value)
{
    *ret_value = load_u32le(at);
    return at + 4;
}

static const uint8_t *get_u64(const uint8_t *at, uint64_t *ret_value)
{
    *ret_value = load_u64le(at);
    return at + 8;
}

static const uint8_t *get_f64(const uint8_t *at, double *ret_value)
{
    const uint64_t bits = load_u64le(at);
    memcpy(ret_value, &bits, sizeof(bits));
    return at + 8;
}

enum status convergence_encode(const struct convergence *convergence, struct bytes *ret_state)
{
    uint8_t out[CONVERGENCE_STATE_BYTES_MAX];
    uint8_t *at = put_u32(out, STATE_VERSION);
    at = put_u64(at, convergence->recorded);
    at = put_u64(at, convergence->best_round);
    at = put_f64(at, convergence->best_loss);
    at = put_f64(at, convergence->best_accuracy);
    at = put_u32(at, convergence->loss_plateau);
    at = put_u32(at, convergence->accuracy_plateau);
    at = put_u32(at, convergence->both_plateau);
    at = put_u32(at, convergence->risen);
    at = put_u32(at, convergence->best_is_last ? 1 : 0);
    at = put_u32(at, convergence->reason);
    at = put_u32(at, convergence->loss_count);
    at = put_u32(at, convergence->accuracy_count);
    for (uint32_t i = 0; i < convergence->loss_count; i++)
        at = put_f64(at, convergence->best_losses[i]);
    for (uint32_t i = 0; i < convergence->accuracy_count; i++)
        at = put_f64(at, convergence->best_accuracies[i]);
    return bytes_append(ret_state, out, (size_t)(at - out));
}

/* What no sequence of rounds can come to is damage. */
static bool is_possible(const struct convergence *state)
{
    if (state->loss_plateau > state->recorded || state->accuracy_plateau > state->recorded ||
        state->risen > state->recorded || state->both_plateau > state->loss_plateau ||
        state->both_plateau > state->accuracy_plateau)
        return false;
    if (state->loss_count > state->recorded || state->accuracy_count > state->recorded)
        return false;
    const bool has_figures = state->loss_count > 0 || state->accuracy_count > 0;
    if (!has_figures && (state->best_round != 0 || state->best_is_last))
        return false;
    double last = INFINITY;
    for (uint32_t i = 0; i < state->loss_count; i++) {
        if (!isfinite(state->best_losses[i]) || state->best_losses[i] > last)
            return false;
        last = state->best_losses[i];
    }
    if (state->best_loss != last)
        return false;
    last = -INFINITY;
    for (uint32_t i = 0; i < state->accuracy_count; i++) {
        if (!isfinite(state->best_accuracies[i]) || state->best_accuracies[i] < last)
            return false;
        last = state->best_accuracies[i];
    }
    return state->best_accuracy == last;
}

/* Drops the oldest of a history that is longer than the window of now. */
static void fit(double *history, uint32_t *count, uint32_t window_size)
{
    if (*count <= window_size + 1)
        return;
    const uint32_t surplus = *count - (window_size + 1);
    *count = window_size + 1;
    memmove(history, history + surplus, *count * sizeof(*history));
}

static enum status read_head(struct convergence *state, struct slice bytes, struct error *err)
{
    if (bytes.size < VERSION_BYTES)
        return error_set(err, STATUS_CORRUPT, "the convergence state ends after %zu bytes",
                         bytes.size);
    if (load_u32le(bytes.data) != STATE_VERSION)
        return error_set(err, STATUS_VERSION,
                         "the convergence state has version %u, this Fedra reads version %d",
                         load_u32le(bytes.data), STATE_VERSION);
    if (bytes.size < HEAD_BYTES)
        return error_set(err, STATUS_CORRUPT, "the convergence state ends after %zu bytes",
                         bytes.size);
    uint32_t best_is_last = 0;
    uint32_t reason = 0;
    const uint8_t *at = get_u64(bytes.data + VERSION_BYTES, &state->recorded);
    at = get_u64(at, &state->best_round);
    at = get_f64(at, &state->best_loss);
    at = get_f64(at, &state->best_accuracy);
    at = get_u32(at, &state->loss_plateau);
    at = get_u32(at, &state->accuracy_plateau);
    at = get_u32(at, &state->both_plateau);
    at = get_u32(at, &state->risen);
    at = get_u32(at, &best_is_last);
    at = get_u32(at, &reason);
    at = get_u32(at, &state->loss_count);
    get_u32(at, &state->accuracy_count);
    if (best_is_last > 1 || reason > CONVERGENCE_REASON_MAX_ROUNDS)
        return error_set(err, STATUS_CORRUPT, "the convergence state is damaged");
    state->best_is_last = best_is_last != 0;
    state->reason = (enum convergence_reason)reason;
    state->verdict = convergence_verdict_of(state->reason);
    return STATUS_OK;
}

enum status convergence_decode(struct convergence *convergence, struct slice state,
                               struct error *err)
{
    struct convergence read = {.settings = convergence->settings};
    const enum status status = read_head(&read, state, err);
    if (status != STATUS_OK)
        return status;
    const size_t size = HEAD_BYTES + 8 * ((size_t)read.loss_count + (size_t)read.accuracy_count);
    if (read.loss_count > HISTORY_MAX || read.accuracy_count > HISTORY_MAX || state.size != size)
        return error_set(err, STATUS_CORRUPT,
                         "the convergence state has %zu bytes, not as many as its histories need",
                         state.size);
    const uint8_t *at = state.data + HEAD_BYTES;
    for (uint32_t i = 0; i < read.loss_count; i++)
        at = get_f64(at, &read.best_losses[i]);
    for (uint32_t i = 0; i < read.accuracy_count; i++)
        at = get_f64(at, &read.best_accuracies[i]);
    if (!is_possible(&read))
        return error_set(err, STATUS_CORRUPT, "the convergence state is damaged");
    fit(read.best_losses, &read.loss_count, read.settings.window_size);
    fit(read.best_accuracies, &read.accuracy_count, read.settings.window_size);
    *convergence = read;
    return STATUS_OK;
}
