/*
 * renewal.c - the instants of an identity's renewal.
 */
#include "identity/renewal.h"

#include "base/check.h"
#include "identity/authority.h"

enum { OVERDUE_SHARE = 20 }; /* an overdue renewal waits for up to that part of what is left */

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Uniform in [0, bound]. */
static int64_t random_up_to(struct renewal *renewal, int64_t bound)
{
    return bound > 0 ? (int64_t)random_below(&renewal->random, (uint64_t)bound + 1) : 0;
}

void renewal_init(struct renewal *renewal, uint64_t seed, bool asks)
{
    *renewal = (struct renewal){.asks = asks};
    random_init(&renewal->random, seed, 0, 0);
}

int64_t renewal_life_begin_s(int64_t not_before_s, int64_t not_after_s)
{
    const bool is_dated_back = not_after_s - not_before_s > AUTHORITY_BACKDATE_S;
    return is_dated_back ? not_before_s + AUTHORITY_BACKDATE_S : not_before_s;
}

void renewal_begin(struct renewal *renewal, int64_t begin_ms, int64_t end_ms, int64_t now_ms)
{
    CHECK(begin_ms < end_ms);
    const int64_t life = end_ms - begin_ms;
    renewal->begin_ms = begin_ms;
    renewal->end_ms = end_ms;
    renewal->asking = false;
    renewal->failures = 0;
    renewal->told_soon = false;
    renewal->told_ended = false;
    renewal->due_ms = begin_ms + life / 2 + random_up_to(renewal, life / 8);
    if (renewal->due_ms < now_ms) /* read from a disk: all may have been started together */
        renewal->due_ms = now_ms + random_up_to(renewal, (end_ms - now_ms) / OVERDUE_SHARE);
}

bool renewal_is_due(struct renewal *renewal, int64_t now_ms)
{
    if (!renewal->asks || renewal->asking || now_ms < renewal->due_ms)
        return false;
    renewal->asking = true;
    return true;
}

void renewal_failed(struct renewal *renewal, int64_t now_ms)
{
    CHECK(renewal->asking);
    renewal->asking = false;
    int64_t wait = RENEWAL_WAIT_FIRST_MS;
    for (uint32_t i = 0; i < renewal->failures && wait < RENEWAL_WAIT_MAX_MS; i++)
        wait *= 2;
    renewal->failures++;
    wait = clamp(wait, 0, RENEWAL_WAIT_MAX_MS);
    /* The end must not come while we wait; after it there is no hurry. */
    if (now_ms < renewal->end_ms)
        wait = clamp((renewal->end_ms - now_ms) / 8, RENEWAL_WAIT_MIN_MS, wait);
    renewal->due_ms = now_ms + wait / 2 + random_up_to(renewal, wait / 2);
}

enum renewal_notice renewal_take_notice(struct renewal *renewal, int64_t now_ms)
{
    const int64_t life = renewal->end_ms - renewal->begin_ms;
    if (now_ms >= renewal->end_ms && !renewal->told_ended) {
        renewal->told_ended = true;
        renewal->told_soon = true;
        return RENEWAL_ENDED;
    }
    if (!renewal->told_soon && renewal->end_ms - now_ms < life / 6) {
        renewal->told_soon = true;
        return RENEWAL_ENDS_SOON;
    }
    return RENEWAL_NOTHING;
}

uint32_t renewal_attempt_ms(const struct renewal *renewal, int64_t now_ms)
{
    const int64_t left = renewal->end_ms - now_ms;
    if (left <= 0)
        return RENEWAL_ATTEMPT_MAX_MS;
    return (uint32_t)clamp(left / 4, RENEWAL_ATTEMPT_MIN_MS, RENEWAL_ATTEMPT_MAX_MS);
}

uint32_t renewal_tick_ms(const struct renewal *renewal)
{
    return (uint32_t)clamp((renewal->end_ms - renewal->begin_ms) / 40, RENEWAL_TICK_MIN_MS,
                           RENEWAL_TICK_MAX_MS);
}
