/*
 * stall_watch.h - finds what makes no progress: one timer for any number of things.
 *
 * Watched things stand in the order of their last progress, so everything here is constant time.
 * Not here: what progress is, and what is done to the stalled.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Within the thing that is watched; zero bytes are one that is not. */
struct watched {
    struct watched *next;
    struct watched *previous;
    uint64_t since_ms; /* of the loop's clock */
};

struct watch {
    uv_timer_t timer; /* its data is the watch */
    void *owner;
    struct watched *oldest;
    struct watched *newest;
    uint64_t timeout_ms;
    void (*on_stalled)(struct watched *watched); /* it is watched no more */
};

/* The timer does not keep the loop alive. Close it with uv_close once nothing is watched. */
void watch_init(struct watch *watch, uv_loop_t *loop, uint64_t timeout_ms,
                void (*on_stalled)(struct watched *watched), void *owner);

/* Progress now, or watching begins. on_stalled comes from the loop, timeout_ms later or soon after.
 */
void watch_touch(struct watch *watch, struct watched *watched);

/* Watches it no more; no effect where it is not watched. */
void watch_remove(struct watch *watch, struct watched *watched);
