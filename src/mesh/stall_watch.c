/*
 * stall_watch.c - a list in the order of last progress, and a timer for its head.
 */
#include "mesh/stall_watch.h"

static void on_timer(uv_timer_t *timer)
{
    struct watch *const watch = timer->data;
    const uint64_t now = uv_now(timer->loop);
    while (watch->oldest != nullptr && now - watch->oldest->since_ms >= watch->timeout_ms) {
        struct watched *const watched = watch->oldest;
        watch_remove(watch, watched);
        watch->on_stalled(watched);
    }
    if (watch->oldest != nullptr)
        (void)uv_timer_start(timer, on_timer, watch->oldest->since_ms + watch->timeout_ms - now, 0);
}

void watch_init(struct watch *watch, uv_loop_t *loop, uint64_t timeout_ms,
                void (*on_stalled)(struct watched *watched), void *owner)
{
    *watch = (struct watch){.owner = owner, .timeout_ms = timeout_ms, .on_stalled = on_stalled};
    (void)uv_timer_init(loop, &watch->timer);
    uv_unref((uv_handle_t *)&watch->timer);
    watch->timer.data = watch;
}

static bool is_watched(const struct watch *watch, const struct watched *watched)
{
    return watched->previous != nullptr || watch->oldest == watched;
}

void watch_remove(struct watch *watch, struct watched *watched)
{
    if (!is_watched(watch, watched))
        return;
    if (watched->previous != nullptr)
        watched->previous->next = watched->next;
    else
        watch->oldest = watched->next;
    if (watched->next != nullptr)
        watched->next->previous = watched->previous;
    else
        watch->newest = watched->previous;
    watched->next = nullptr;
    watched->previous = nullptr;
}

void watch_touch(struct watch *watch, struct watched *watched)
{
    watch_remove(watch, watched);
    watched->since_ms = uv_now(watch->timer.loop);
    watched->previous = watch->newest;
    if (watch->newest != nullptr)
        watch->newest->next = watched;
    else
        watch->oldest = watched;
    watch->newest = watched;
    /* A timer that runs fires early and looks again. */
    if (uv_is_active((uv_handle_t *)&watch->timer) == 0)
        (void)uv_timer_start(&watch->timer, on_timer, watch->timeout_ms, 0);
}
