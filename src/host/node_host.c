/*
 * node_host.c - sets a node up, steps its machine, carries effects to who does them.
 */
#include "host/node_host.h"

#include "base/check.h"
#include "host/node_host_internal.h"
#include "host/trace_log.h"
#include "kern/kern.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64 }; /* coordinators' keys over the life of a node */

static const uint64_t ms_ns = 1000000;

static void on_leaf_closed(void *context)
{
    struct node_host *const host = context;
    host->leaf = nullptr;
    uv_stop(&host->loop);
}

static void leave(struct node_host *host)
{
    if (host->leaving)
        return;
    host->leaving = true;
    if (host->training_id != 0)
        host->trainer_ops->cancel(host->trainer, host->training_id);
    if (host->leaf != nullptr)
        leaf_close(host->leaf, on_leaf_closed);
    else
        uv_stop(&host->loop);
}

void node_host_fault(struct node_host *host, const char *what, enum status status,
                     const struct error *err)
{
    const char *const text = err != nullptr && err->text[0] != 0 ? err->text : status_text(status);
    log_event(host->log, LOG_ERROR, "node.fault", LOG_STR("what", what), LOG_STATUS(status),
              LOG_STR("text", text));
    fprintf(stderr, "fedra node: %s: %s\n", what, text);
    host->exit_code = EXIT_FAILURE;
    leave(host);
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
    uv_update_time(&host->loop);
    uv_timer_start(&host->timer, on_timer, deadline_ns > now ? (deadline_ns - now) / ms_ns + 1 : 1,
                   0);
}

static void abort_work(struct node_host *host, uint64_t id)
{
    if (id == host->pull_id)
        leaf_cancel(host->leaf, id);
    else if (id == host->training_id)
        host->trainer_ops->cancel(host->trainer, id);
}

static void carry(struct node_host *host, const struct node_effect *effect)
{
    switch (effect->kind) {
    case NODE_FX_CONNECT:
        node_link_connect(host);
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
            leave(host);
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
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct node_host *const host = handle->data;
    log_event(host->log, LOG_INFO, "node.signal", LOG_I64("signal", number));
    struct node_event event = {.kind = NODE_EV_STOP};
    host->exit_code = 128 + number; /* as a shell says it; 0 is for the end of the job */
    node_host_step(host, &event);
}

static enum status open_identity(struct node_host *host, struct error *err)
{
    const struct config *const config = host->config;
    enum status status =
        identity_open(config->identity.directory, clock_unix_s(), &host->identity, err);
    if (status == STATUS_OK)
        status = spiffe_role_check(&host->identity->svid.id, SPIFFE_ROLE_NODE, "fedra node", err);
    if (status == STATUS_OK)
        status =
            tls_context_create(host->identity, false, SPIFFE_ROLE_COORDINATOR, &host->tls, err);
    if (status == STATUS_OK)
        status = envelope_signer_create(host->identity->envelope_key,
                                        sk_X509_value(host->identity->envelope_chain, 0), 0,
                                        &host->signer, err);
    if (status == STATUS_OK)
        status = keyring_create(host->identity->trust, KEYS_MAX, &host->keyring, err);
    if (status == STATUS_OK)
        host->verifier = keyring_verifier(host->keyring);
    return status;
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
    static const int numbers[] = {SIGINT, SIGTERM};
    const struct config *const config = host->config;
    enum status status =
        log_open(config->log.file, config->log.level, config->log.format, err, &host->log);
    if (status == STATUS_OK)
        status = kern_init(err);
    if (status == STATUS_OK)
        status = open_identity(host, err);
    if (status == STATUS_OK)
        status = node_work_open(host, err);
    if (status == STATUS_OK)
        status = node_link_open(host, err);
    if (status != STATUS_OK)
        return status;
    CHECK(uv_timer_init(&host->loop, &host->timer) == 0);
    host->timer.data = host;
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&host->loop, &host->signals[i]) == 0);
        host->signals[i].data = host;
        CHECK(uv_signal_start(&host->signals[i], on_signal, numbers[i]) == 0);
    }
    return start_machine(host, err);
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    if (!uv_is_closing(handle))
        uv_close(handle, nullptr);
}

static void close_all(struct node_host *host)
{
    host->leaving = true;
    worker_close(host->trainers);
    worker_close(host->disk);
    uv_run(&host->loop, UV_RUN_NOWAIT);
    uv_walk(&host->loop, close_handle, nullptr);
    uv_run(&host->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&host->loop) == 0);
    node_work_close(host);
    free(host->pull_bytes);
    envelope_signer_destroy(&host->signer);
    keyring_destroy(host->keyring);
    SSL_CTX_free(host->tls);
    identity_close(host->identity);
    log_close(host->log);
}

int node_host_run(const struct config *config)
{
    struct node_host *const host = calloc(1, sizeof(*host));
    CHECK(host != nullptr);
    struct error err = {0};
    signal(SIGPIPE, SIG_IGN);
    host->config = config;
    CHECK(uv_loop_init(&host->loop) == 0);
    const enum status status = open_all(host, &err);
    if (status != STATUS_OK)
        node_host_fault(host, "cannot start", status, &err);
    if (status == STATUS_OK || host->leaf != nullptr)
        uv_run(&host->loop, UV_RUN_DEFAULT);
    const int code = host->exit_code;
    close_all(host);
    free(host);
    return code;
}
