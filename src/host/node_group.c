/*
 * node_group.c - the nodes of one process: the loop, the threads and the signals that they share.
 *
 * Each node keeps to itself what is its own: machine, identity, connections, outbox, log. Not here:
 * what one node does (node_host.c).
 */
#include "host/node_host.h"

#include "base/check.h"
#include "host/job_pool.h"
#include "host/job_trainer.h"
#include "host/node_host_internal.h"
#include "kern/kern.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct node_group *const group = handle->data;
    group->stopping = true;
    for (uint32_t i = 0; i < group->count; i++) {
        struct node_host *const host = &group->nodes[i];
        if (node_faults_stays_down(host)) {
            host->exit_code = 128 + number;
            node_group_ended(group, host);
        }
        if (host->leaving)
            continue;
        log_event(host->log, LOG_INFO, "node.signal", LOG_I64("signal", number));
        struct node_event event = {.kind = NODE_EV_STOP};
        host->exit_code = 128 + number; /* as a shell says it; 0 is for the end of the job */
        node_host_step(host, &event);
    }
}

/* The last node has ended: what was shared is in nobody's hands any more. */
static void let_go(struct node_group *group)
{
    worker_close(group->trainers);
    for (uint32_t i = 0; i < group->disk_count; i++)
        worker_close(group->disks[i]);
    for (size_t i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&group->signals[i], nullptr);
}

void node_group_ended(struct node_group *group, struct node_host *host)
{
    CHECK(group->running > 0);
    if (node_faults_comes_back(host))
        return;
    if (--group->running == 0)
        let_go(group);
}

static enum status open_shared(struct node_group *group, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    enum status status = kern_init(err);
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&group->loop, &group->signals[i]) == 0);
        group->signals[i].data = group;
        CHECK(uv_signal_start(&group->signals[i], on_signal, numbers[i]) == 0);
    }
    const uint32_t trainers =
        least(least(group->count, uv_available_parallelism()), WORKER_THREADS_MAX);
    if (status == STATUS_OK)
        status = worker_create(&group->loop, trainers, &group->trainers);
    const uint32_t disks = least(group->count, NODE_DISKS_MAX);
    while (status == STATUS_OK && group->disk_count < disks) {
        status = worker_create(&group->loop, 1, &group->disks[group->disk_count]);
        group->disk_count += status == STATUS_OK;
    }
    return status;
}

static int exit_code_of(const struct node_group *group)
{
    int code = EXIT_SUCCESS;
    for (uint32_t i = 0; i < group->count; i++) {
        const int own = group->nodes[i].exit_code;
        if (own != EXIT_SUCCESS && code != EXIT_FAILURE)
            code = own;
    }
    return code;
}

static void start_nodes(struct node_group *group, const struct config *configs)
{
    /* Where that fails each node tries by itself, and says why not. */
    bool trains = false;
    for (uint32_t i = 0; i < group->count; i++)
        trains = trains || job_trainer_wants_data(&configs[i]);
    if (trains && group->count > 1)
        (void)!job_load_parts(configs, group->count, group->parts, nullptr);
    group->running = group->count;
    for (uint32_t i = 0; i < group->count; i++)
        node_host_open(&group->nodes[i], group, &configs[i]);
}

int node_host_run(const struct config *configs, uint32_t count)
{
    struct error err = {0};
    int code = EXIT_FAILURE;
    struct node_group *const group = calloc(1, sizeof(*group));
    CHECK(group != nullptr && count > 0);
    signal(SIGPIPE, SIG_IGN);
    group->count = count;
    group->nodes = calloc(count, sizeof(*group->nodes));
    group->parts = calloc(count, sizeof(*group->parts));
    CHECK(group->nodes != nullptr && group->parts != nullptr);
    CHECK(uv_loop_init(&group->loop) == 0);
    const enum status status = open_shared(group, &err);
    if (status == STATUS_OK) {
        start_nodes(group, configs);
        uv_run(&group->loop, UV_RUN_DEFAULT);
        code = exit_code_of(group);
    } else {
        fprintf(stderr, "fedra node: cannot start: %s\n",
                err.text[0] != 0 ? err.text : status_text(status));
        let_go(group);
        uv_run(&group->loop, UV_RUN_DEFAULT);
    }
    CHECK(uv_loop_close(&group->loop) == 0);
    for (uint32_t i = 0; i < count; i++)
        job_part_deinit(&group->parts[i]);
    free(group->parts);
    free(group->nodes);
    free(group);
    return code;
}
