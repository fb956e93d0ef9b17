/*
 * node_faults.c - a node of `fedra up` that is slow, or that dies and comes back, on purpose.
 *
 * A node in a process of its own is killed by `fedra up`, with SIGKILL. One of several in a process
 * cannot be: its connections, its machine and its memory are dropped at once, in the middle of
 * whatever it does, and after a while it is made anew from its folder.
 */
#include "host/node_host_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <time.h>

enum { PAUSE_SLICE_NS = 20000000 }; /* how long a pause goes on after a cancellation, at most */

/* Waits until a node that was killed comes back. */
struct down {
    uv_timer_t timer;
    struct node_host *host;
};

struct pace node_faults_pace(struct node_host *host, uint64_t train_id)
{
    const bool slow = host->config->faults.slow.share > 0;
    return (struct pace){.host = host,
                         .train_id = train_id,
                         .factor = slow ? host->config->faults.slow.factor : 1,
                         .from_ns = clock_boot_ns()};
}

void node_faults_pause(void *context, uint64_t steps, uint64_t steps_total)
{
    struct pace *const pace = context;
    const uint64_t now = clock_boot_ns();
    const uint64_t until = now + (uint64_t)((double)(now - pace->from_ns) * (pace->factor - 1));
    while (pace->factor > 1 && atomic_load(&pace->host->cancelled_train) < pace->train_id) {
        const uint64_t left = until - clock_boot_ns();
        if ((int64_t)left <= 0)
            break;
        const struct timespec slice = {.tv_nsec = left < PAUSE_SLICE_NS ? (long)left
                                                                        : (long)PAUSE_SLICE_NS};
        nanosleep(&slice, nullptr);
    }
    pace->from_ns = clock_boot_ns();
}

bool node_faults_dies(struct node_host *host, uint64_t round)
{
    const struct config *const config = host->config;
    if (config->faults.kill.share <= 0)
        return false;
    if (round <= config->faults.kill.after_rounds) {
        host->met_alive = true;
        return false;
    }
    if (!host->met_alive) /* it came back, or the run goes on from a later round */
        return false;
    log_event(host->log, LOG_INFO, "fault.killed", LOG_U64("round", round));
    host->down = calloc(1, sizeof(*host->down));
    CHECK(host->down != nullptr);
    host->down->host = host;
    node_host_leave(host);
    return true;
}

static void on_down_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_down_over(uv_timer_t *timer)
{
    struct node_host *const host = ((struct down *)timer->data)->host;
    uv_close((uv_handle_t *)timer, on_down_closed);
    node_host_open(host, host->group, host->config);
}

bool node_faults_comes_back(struct node_host *host)
{
    struct node_group *const group = host->group;
    if (host->down == nullptr)
        return false;
    if (group->stopping) {
        free(host->down);
        host->down = nullptr;
        return false;
    }
    CHECK(uv_timer_init(&group->loop, &host->down->timer) == 0);
    host->down->timer.data = host->down;
    uv_update_time(&group->loop);
    uv_timer_start(&host->down->timer, on_down_over,
                   (uint64_t)(host->config->faults.kill.down_s * 1000), 0);
    return true;
}

bool node_faults_stays_down(struct node_host *host)
{
    if (host->down == nullptr || !uv_is_active((uv_handle_t *)&host->down->timer))
        return false;
    uv_close((uv_handle_t *)&host->down->timer, on_down_closed);
    host->down = nullptr;
    return true;
}
