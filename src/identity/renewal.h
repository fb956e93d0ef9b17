/*
 * renewal.h - when an identity is renewed: a machine without clock or I/O.
 *
 * A first attempt at a random instant between a half and five eighths of the life, so that many
 * processes that began together do not ask together and each is done before two thirds; then again
 * after waits that grow. Not here: how (host/identity_renewer.c). Times are ms of wall time, since
 * certificates speak of it.
 */
#pragma once

#include "base/random.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RENEWAL_WAIT_FIRST_MS = 1000, /* after the first attempt that failed; doubles */
    RENEWAL_WAIT_MAX_MS = 60000,
    RENEWAL_WAIT_MIN_MS = 250, /* of a short life: an eighth of what is left, but not less */
    RENEWAL_ATTEMPT_MIN_MS = 1000,
    RENEWAL_ATTEMPT_MAX_MS = 10000,
    RENEWAL_TICK_MIN_MS = 100,
    RENEWAL_TICK_MAX_MS = 1000,
};

/* What is to be said to an operator; each once in a life. */
enum renewal_notice {
    RENEWAL_NOTHING,
    RENEWAL_ENDS_SOON, /* less than a sixth of the life is left and it was not renewed */
    RENEWAL_ENDED,
};

struct renewal {
    struct random random;
    bool asks; /* else somebody else renews */
    bool asking;
    bool told_soon;
    bool told_ended;
    uint32_t failures; /* in a row */
    int64_t begin_ms;
    int64_t end_ms;
    int64_t due_ms;
};

/* asks: whether this process renews itself. seed: of the random instants. Cannot fail. */
void renewal_init(struct renewal *renewal, uint64_t seed, bool asks);

/*
 * A new life begins: that of the certificates in use from now on. Ends an attempt under way.
 *
 * begin_ms  from when it counts (renewal_life_begin_s).
 * end_ms    after begin_ms; an end in the past is allowed.
 */
void renewal_begin(struct renewal *renewal, int64_t begin_ms, int64_t end_ms, int64_t now_ms);

/*
 * When a certificate's life began: its notBefore, less the minute by which the local authority
 * dates it back, where the certificate is old enough for that. Seconds.
 */
int64_t renewal_life_begin_s(int64_t not_before_s, int64_t not_after_s);

/* Whether an attempt is to begin now; it is then under way until renewal_failed or _begin. */
bool renewal_is_due(struct renewal *renewal, int64_t now_ms);

/* The attempt under way failed: it is made again after a wait. */
void renewal_failed(struct renewal *renewal, int64_t now_ms);

/* What is to be said now. */
enum renewal_notice renewal_take_notice(struct renewal *renewal, int64_t now_ms);

/* How long an attempt may take, in [RENEWAL_ATTEMPT_MIN_MS, RENEWAL_ATTEMPT_MAX_MS]. */
uint32_t renewal_attempt_ms(const struct renewal *renewal, int64_t now_ms);

/* How often to look at the clock, in [RENEWAL_TICK_MIN_MS, RENEWAL_TICK_MAX_MS]. */
uint32_t renewal_tick_ms(const struct renewal *renewal);
