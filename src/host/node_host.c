/*
 * node_host.c - sets a node up, steps its machine, carries effects to who does them, and lets go of
 * everything when nothing is under way any more.
 *
 * Not here: what the nodes of a process share (node_group.c).
 */
#include "base/check.h"
#include "host/node_host_internal.h"
#include "host/trace_log.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms_ns = 1000000;

static void on_check_timer_closed(uv_handle_t *handle)
{
    struct node_host *const host = handle->data;
    node_work_close(host);
    free(host->pull_bytes);
    bytes_deinit(&host->push_envelope);
    keyring_destroy(host->keyring);
    credentials_unref(host->credentials);
    log_close(host->log);
    node_group_ended(host->group, host);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct node_host *const host = handle->data;
    uv_close((uv_handle_t *)&host->check_timer, on_check_timer_closed);
}

/* The last step of leaving: on the loop, so that nobody up the stack still uses the node. */
void node_host_close_if_idle(struct node_host *host)
{
    if (!host->leaving || host->closing || host->link_count > 0 || host->renewer != nullptr ||
        host->jobs > 0)
        return;
    host->closing = true;
    uv_close((uv_handle_t *)&host->timer, on_timer_closed);
}

static void on_renewer_closed(void *context)
{
    struct node_host *const host = context;
    host->renewer = nullptr;
    node_host_close_if_idle(host);
}

void node_host_leave(struct node_host *host)
{
    if (host->leaving)
        return;
    host->leaving = true;
    if (host->trainer != nullptr)
        node_work_cancel_training(host, UINT64_MAX);
    node_connection_close(host);
    if (host->renewer != nullptr)
        identity_renewer_close(host->renewer, on_renewer_closed);
    node_host_close_if_idle(host);
}

void node_host_submit(struct node_host *host, struct worker *worker, struct job *job)
{
    host->jobs++;
    worker_submit(worker, job);
}

void node_host_done(struct node_host *host)
{
    CHECK(host->jobs > 0);
    host->jobs--;
    node_host_close_if_idle(host);
}

void node_host_say(const struct node_host *host, const char *what, const char *text)
{
    if (host->group->count > 1)
        fprintf(stderr, "fedra node: %s: %s: %s\n", host->config->node.name, what, text);
    else
        fprintf(stderr, "fedra node: %s: %s\n", what, text);
}

void node_host_fault(struct node_host *host, const char *what, enum status status,
                     const struct error *err)
{
    const char *const text = err != nullptr && err->text[0] != 0 ? err->text : status_text(status);
    log_event(host->log, LOG_ERROR, "node.fault", LOG_STR("what", what), LOG_STATUS(status),
              LOG_STR("text", text));
    node_host_say(host, what, text);
    host->exit_code = EXIT_FAILURE;
    node_host_leave(host);
}

static void on_timer(uv_timer_t *timer)
{
    struct node_event event = {.kind = NODE_EV_TIMER};
    node_host_step(timer->data, &event);
}

static void set_timer(struct node_host *host, uint64_t deadline_ns)
{
    if (deadline_ns == NO_DEADLINE) {
        uv_timer_stop(&host->timer);
        return;
    }
    const uint64_t now = clock_boot_ns();
    uv_update_time(&host->group->loop);
    uv_timer_start(&host->timer, on_timer, deadline_ns > now ? (deadline_ns - now) / ms_ns + 1 : 1,
                   0);
}

static void abort_work(struct node_host *host, uint64_t id)
{
    if (id == host->pull_id)
        node_connection_cancel(host, id);
    else if (id == host->training_id)
        node_work_cancel_training(host, id);
}

static void carry(struct node_host *host, const struct node_effect *effect)
{
    switch (effect->kind) {
    case NODE_FX_CONNECT:
        node_connection_open(host);
        break;
    case NODE_FX_RAISE:
        node_work_raise(host, effect);
        break;
    case NODE_FX_PULL:
        node_link_pull(host, effect);
        break;
    case NODE_FX_TRAIN:
        node_work_train(host, effect);
        break;
    case NODE_FX_ABORT:
        abort_work(host, effect->id);
        break;
    case NODE_FX_HOLD:
        node_work_hold(host, effect);
        break;
    case NODE_FX_PUSH:
        node_link_push(host, effect);
        break;
    case NODE_FX_NOTE:
        node_work_note(host, effect);
        break;
    case NODE_FX_RELEASE:
        break; /* models and updates lie in buffers of their own, used again */
    case NODE_FX_TIMER:
        set_timer(host, effect->deadline_ns);
        break;
    case NODE_FX_EXIT:
        if (effect->status != STATUS_OK)
            node_host_fault(host, "the node stops", effect->status, nullptr);
        else
            node_host_leave(host);
        break;
    }
}

void node_host_step(struct node_host *host, struct node_event *event)
{
    CHECK(!host->stepping);
    if (host->leaving)
        return;
    host->stepping = true;
    struct node_effects *const effects = malloc(sizeof(*effects));
    CHECK(effects != nullptr);
    event->now_ns = clock_boot_ns();
    node_step(&host->machine, event, effects);
    trace_log(host->log, &effects->traces, nullptr);
    for (uint32_t i = 0; i < effects->count; i++)
        carry(host, &effects->items[i]);
    free(effects);
    host->stepping = false;
    if (host->awaits_quiet)
        node_connection_check(host);
}

static enum status start_machine(struct node_host *host, struct error *err)
{
    struct node_event event = {.kind = NODE_EV_START};
    const struct node_settings settings = {
        .seed = host->config->job.seed ^ trainer_node_key(host->config->node.name),
        .retry_min_ns = 100 * ms_ns,
        .retry_max_ns = 2000 * ms_ns,
    };
    const enum status status = node_work_kept(host, &event.start.kept, err);
    if (status != STATUS_OK)
        return status;
    event.start.epoch_seen = outbox_epoch(host->outbox);
    node_init(&host->machine, &settings);
    node_host_step(host, &event);
    return STATUS_OK;
}

static enum status open_all(struct node_host *host, struct error *err)
{
    const struct config *const config = host->config;
    enum status status =
        log_open(config->log.file, config->log.level, config->log.format, err, &host->log);
    if (status == STATUS_OK)
        status = node_identity_open(host, err);
    if (status == STATUS_OK)
        status = node_work_open(host, err);
    if (status == STATUS_OK)
        status = node_identity_watch(host);
    return status == STATUS_OK ? start_machine(host, err) : status;
}

void node_host_open(struct node_host *host, struct node_group *group, const struct config *config)
{
    struct error err = {0};
    *host = (struct node_host){
        .group = group, .config = config, .part = &group->parts[host - group->nodes]};
    CHECK(uv_timer_init(&group->loop, &host->timer) == 0);
    CHECK(uv_timer_init(&group->loop, &host->check_timer) == 0);
    host->timer.data = host;
    host->check_timer.data = host;
    bytes_init(&host->push_envelope, ENVELOPE_BYTES_MAX);
    const enum status status = open_all(host, &err);
    if (status != STATUS_OK)
        node_host_fault(host, "cannot start", status, &err);
}
