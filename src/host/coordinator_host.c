/*
 * coordinator_host.c - sets a coordinator up, steps its machine, carries effects to who does them.
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"
#include "host/coordinator_host.h"
#include "host/job_data.h"
#include "host/job_model.h"
#include "host/job_settings.h"
#include "host/trace_log.h"
#include "kern/kern.h"
#include "mesh/mesh_direct.h"
#include "store/store_sqlite.h"

#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_DIVERGED = 3,
    DRAIN_MS = 500,
};

void host_changed(struct coordinator_host *host)
{
    if (host->extension_state != nullptr && !host->draining)
        host->extension->changed(host->extension_state);
}

static void on_drained(void *context)
{
    struct coordinator_host *const host = context;
    host->hub = nullptr;
    uv_stop(&host->loop);
}

static void leave(struct coordinator_host *host)
{
    if (host->draining)
        return;
    host->draining = true;
    if (host->extension_state != nullptr)
        host->extension->drain(host->extension_state);
    if (host->hub != nullptr)
        hub_drain(host->hub, DRAIN_MS, on_drained);
    else
        uv_stop(&host->loop);
}

void host_fault(struct coordinator_host *host, const char *what, enum status status,
                const struct error *err)
{
    log_event(host->log, LOG_ERROR, "coordinator.fault", LOG_STR("what", what), LOG_STATUS(status),
              LOG_STR("text", err != nullptr ? err->text : ""));
    fprintf(stderr, "fedra coordinator: %s: %s\n", what,
            err != nullptr && err->text[0] != 0 ? err->text : status_text(status));
    host->exit_code = EXIT_FAILURE;
    host->exiting = true;
    leave(host);
}

/* Who is not connected may be on its way back, and would find nobody: also who missed the last
 * rounds. */
static bool everybody_knows(const struct coordinator_host *host)
{
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const uint32_t index = roster->order[i];
        if (roster->members[index].session != 0 || !host->accepted[index].told_end)
            return false;
    }
    return true;
}

/* The process ends when its files are written and nobody is left to be told, or time is up. */
static void leave_if_done(struct coordinator_host *host)
{
    if (host->final_done &&
        (host->exiting || (host->machine.phase == COORDINATOR_ENDED && everybody_knows(host))))
        leave(host);
}

struct final_job {
    struct job job;
    struct coordinator_host *host;
    enum status status;
    struct error error;
};

/* On the disk worker, the store's only user: what the summary says of the whole job. */
static void run_final_read(struct job *job)
{
    struct final_job *const final = (struct final_job *)job;
    struct coordinator_host *const host = final->host;
    struct store_version latest = {0};
    struct store_member member = {.name = ""};
    enum status status = store_find_latest(host->store, &latest, nullptr, &final->error);
    host->final_rounds = latest.round;
    if (status == STATUS_OK)
        status = store_find_after(host->store, 0, &host->final_first, nullptr, &final->error);
    while (status == STATUS_OK) {
        status = store_find_member_after(host->store, member.name, &member, &final->error);
        host->final_nodes += status == STATUS_OK;
    }
    /* A job that was cancelled before its first version has none. */
    final->status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void run_final_write(struct job *job)
{
    struct final_job *const final = (struct final_job *)job;
    if (final->status == STATUS_OK)
        final->status = run_folder_finish(final->host, &final->error);
}

static void final_written(struct job *job)
{
    struct final_job *const final = (struct final_job *)job;
    struct coordinator_host *const host = final->host;
    host->final_done = true;
    if (final->status != STATUS_OK)
        host_fault(host, "the summary could not be written", final->status, &final->error);
    else
        leave_if_done(host);
    free(final);
}

static void final_read(struct job *job)
{
    struct final_job *const final = (struct final_job *)job;
    if (final->host->draining) { /* a fault came between; the next start writes it */
        free(final);
        return;
    }
    final->job = (struct job){.run = run_final_write, .done = final_written};
    worker_submit(final->host->math, &final->job);
}

static void begin_final(struct coordinator_host *host)
{
    if (host->final_begun)
        return;
    host->final_begun = true;
    host->exit_code = host->machine.outcome == OUTCOME_DIVERGED ? EXIT_DIVERGED : EXIT_SUCCESS;
    struct final_job *const final = calloc(1, sizeof(*final));
    CHECK(final != nullptr);
    final->job = (struct job){.run = run_final_read, .done = final_read};
    final->host = host;
    host->final_bytes_in = host->bytes_in_all + host->bytes_in;
    host->final_bytes_out = host->bytes_out_all + host->bytes_out;
    worker_submit(host->disk, &final->job);
}

static void on_exit_effect(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    if (effect->status != STATUS_OK) {
        host_fault(host, "the coordinator stops", effect->status, nullptr);
        return;
    }
    host->exiting = true;
    if (!host->final_begun)
        leave(host);
    else
        leave_if_done(host);
}

static void on_timer(uv_timer_t *timer)
{
    struct coordinator_event event = {.kind = EV_TIMER};
    host_step(timer->data, &event);
}

static void set_timer(struct coordinator_host *host, uint64_t deadline_ns)
{
    if (deadline_ns == NO_DEADLINE) {
        uv_timer_stop(&host->timer);
        return;
    }
    const uint64_t now = clock_boot_ns();
    const uint64_t wait_ns = deadline_ns > now ? deadline_ns - now : 0;
    uv_update_time(&host->loop);
    uv_timer_start(&host->timer, on_timer, wait_ns / 1000000 + 1, 0);
}

static void carry(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    switch (effect->kind) {
    case FX_PERSIST_EPOCH:
    case FX_CREATE_MODEL:
    case FX_CLOSE:
    case FX_VALIDATE:
    case FX_COMMIT:
    case FX_PERSIST_OUTCOME:
    case FX_PERSIST_PAUSED:
    case FX_RECALL:
    case FX_RESTORE:
        versions_carry(host, effect);
        break;
    case FX_FINISH:
        directives_carry(host, effect);
        begin_final(host);
        break;
    case FX_WELCOME:
    case FX_DENY:
    case FX_END_SESSION:
    case FX_ANNOUNCE:
    case FX_SEND_BEACON:
    case FX_SETTLE:
    case FX_SEND_COUNTED:
    case FX_SEND_DROPPED:
    case FX_SEND_OFFER:
    case FX_SEND_FINISHED:
        directives_carry(host, effect);
        break;
    case FX_RECEIPT_ACCEPTED:
    case FX_RECEIPT_REFUSED:
        updates_receipt(host, effect);
        break;
    case FX_EVIDENCE:
        updates_evidence(host, effect);
        break;
    case FX_FOLD:
        updates_fold(host, effect);
        break;
    case FX_FOLD_WAITING:
        updates_fold_waiting(host, effect);
        break;
    case FX_RELEASE:
        updates_release(host, effect->blob.id);
        break;
    case FX_RELEASE_WAITING:
        updates_release_waiting(host);
        break;
    case FX_RELEASE_SHUT_OUT:
        updates_release_shut_out(host);
        break;
    case FX_TIMER:
        set_timer(host, effect->deadline_ns);
        break;
    case FX_EXIT:
        on_exit_effect(host, effect);
        break;
    }
}

static enum status open_extension(void *context, struct rpc_server *server, struct health *health,
                                  struct error *err)
{
    struct coordinator_host *const host = context;
    if (host->extension == nullptr)
        return STATUS_OK;
    return host->extension->open(host, &host->loop, server, health, &host->extension_state, err);
}

static enum status open_hub(struct coordinator_host *host, struct error *err)
{
    char address[CONFIG_ADDRESS_MAX];
    const struct config *const config = host->config;
    memcpy(address, config->server.listen, sizeof(address));
    char *const colon = strrchr(address, ':');
    CHECK(colon != nullptr); /* the configuration check saw to it */
    *colon = 0;
    const struct hub_direct_options options = {
        .address = address,
        .port = (uint16_t)strtoul(colon + 1, nullptr, 10),
        .tls = host->credentials->tls,
        .identify = coordinator_identify,
        .add_services = open_extension,
        .limits = {.payload_bytes_max = config->limits.update_bytes_max, .codecs = 1},
        .message_bytes_max = config->limits.message_bytes_max,
        .connections_max = (uint32_t)config->limits.connections_max,
        .keepalive_ms = (uint32_t)(config->limits.heartbeat_s * 1000),
    };
    uint16_t port = 0;
    const enum status status = hub_direct_open(&host->loop, &options, &coordinator_hub_handlers,
                                               host, &host->hub, &port, err);
    if (status == STATUS_OK)
        log_event(host->log, LOG_INFO, "coordinator.listening", LOG_STR("address", address),
                  LOG_U64("port", port), LOG_U64("epoch", host->machine.epoch));
    return status;
}

static void step(struct coordinator_host *host, const struct coordinator_event *event)
{
    CHECK(!host->stepping);
    host->stepping = true;
    struct coordinator_effects *const effects = malloc(sizeof(*effects));
    CHECK(effects != nullptr);
    coordinator_step(&host->machine, event, effects);
    trace_log(host->log, &effects->traces, &host->machine.roster);
    for (uint32_t i = 0; i < effects->count; i++)
        carry(host, &effects->items[i]);
    free(effects);
    host->stepping = false;
}

void host_step(struct coordinator_host *host, struct coordinator_event *event)
{
    event->now_ns = clock_boot_ns();
    /* A timer that is late, behind this event: what it brings is carried out before. */
    if (event->kind != EV_TIMER && coordinator_is_due(&host->machine, event->now_ns)) {
        const struct coordinator_event timer = {.kind = EV_TIMER, .now_ns = event->now_ns};
        step(host, &timer);
    }
    step(host, event);
    /* Members are let in once the epoch that fences older coordinators is durable. */
    if (host->hub == nullptr && !host->draining && host->machine.epoch > 0) {
        struct error err = {0};
        const enum status status = open_hub(host, &err);
        if (status != STATUS_OK)
            host_fault(host, "cannot listen", status, &err);
    }
    coordinator_control_step_if_due(host);
    host_changed(host);
    leave_if_done(host);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct coordinator_host *const host = handle->data;
    log_event(host->log, LOG_INFO, "coordinator.signal", LOG_I64("signal", number));
    struct coordinator_event event = {.kind = EV_CANCEL};
    host_step(host, &event);
}

static enum status open_work(struct coordinator_host *host, struct error *err)
{
    const struct config *const config = host->config;
    enum status status = job_model(config, &host->spec, &host->layout, err);
    if (status == STATUS_OK)
        status = job_load_validation(config, &host->validation, err);
    if (status == STATUS_OK)
        status = optimiser_open(host, err);
    if (status == STATUS_OK)
        status = worker_create(&host->loop, 1, &host->disk);
    if (status == STATUS_OK)
        status = worker_create(&host->loop, 1, &host->math);
    if (status == STATUS_OK)
        status = worker_create(&host->loop, 2, &host->verify);
    if (status != STATUS_OK)
        return status;
    const struct store_sqlite_options options = {.folder = config->server.state,
                                                 .job_id = config->job.name,
                                                 .models_keep =
                                                     (uint32_t)config->limits.models_keep};
    return store_sqlite_open(&options, &host->store, err);
}

static enum status open_machine(struct coordinator_host *host, struct error *err)
{
    const struct config *const config = host->config;
    const uint32_t capacity = (uint32_t)config->limits.nodes_max;
    host->members = calloc(capacity, sizeof(*host->members));
    host->order = calloc(capacity, sizeof(*host->order));
    host->accepted = calloc(capacity, sizeof(*host->accepted));
    host->offers = calloc(OFFERS_MAX, sizeof(*host->offers));
    host->waiting = calloc(OFFERS_MAX, sizeof(*host->waiting));
    if (!host->members || !host->order || !host->accepted || !host->offers || !host->waiting ||
        job_figures_init(&host->figures, capacity) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u members (limits.nodes_max)",
                         capacity);
    bytes_init(&host->beacon, ENVELOPE_BYTES_MAX);
    for (uint32_t i = 0; i < capacity; i++)
        bytes_init(&host->accepted[i].envelope, ENVELOPE_BYTES_MAX);
    if (RAND_bytes(host->instance_id, INSTANCE_ID_BYTES) != 1)
        return error_set(err, STATUS_IO, "no random bytes are to be had");
    const struct coordinator_settings settings = job_machine_settings(config);
    coordinator_init(&host->machine, &settings, host->members, host->order, capacity);
    return STATUS_OK;
}

static enum status open_all(struct coordinator_host *host, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    const struct config *const config = host->config;
    enum status status =
        log_open(config->log.file, config->log.level, config->log.format, err, &host->log);
    if (status == STATUS_OK)
        status = kern_init(err);
    if (status == STATUS_OK)
        status = coordinator_identity_open(host, err);
    if (status == STATUS_OK)
        status = open_work(host, err);
    if (status == STATUS_OK)
        status = open_machine(host, err);
    if (status == STATUS_OK)
        status = run_folder_restore(host, err);
    if (status != STATUS_OK)
        return status;
    CHECK(uv_timer_init(&host->loop, &host->timer) == 0);
    host->timer.data = host;
    for (size_t i = 0; i < 2; i++) {
        CHECK(uv_signal_init(&host->loop, &host->signals[i]) == 0);
        host->signals[i].data = host;
        CHECK(uv_signal_start(&host->signals[i], on_signal, numbers[i]) == 0);
    }
    status = coordinator_identity_watch(host);
    return status == STATUS_OK ? versions_start(host, err) : status;
}

static void close_handle(uv_handle_t *handle, void *unused)
{
    if (!uv_is_closing(handle))
        uv_close(handle, nullptr);
}

static void close_all(struct coordinator_host *host)
{
    coordinator_identity_unwatch(host);
    worker_close(host->verify);
    worker_close(host->math);
    worker_close(host->disk);
    uv_run(&host->loop, UV_RUN_NOWAIT); /* the workers let go of their handles */
    uv_walk(&host->loop, close_handle, nullptr);
    uv_run(&host->loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&host->loop) == 0);
    if (host->extension_state != nullptr)
        host->extension->close(host->extension_state);
    store_close(host->store);
    kept_updates_close(host->kept);
    updates_deinit(host);
    versions_deinit(host);
    optimiser_deinit(host);
    model_file_unref(host->model);
    model_file_unref(host->candidate);
    layout_destroy(host->layout);
    dataset_deinit(&host->validation);
    keyring_destroy(host->keyring);
    credentials_unref(host->credentials);
    bytes_deinit(&host->beacon);
    free(host->members);
    free(host->order);
    job_figures_deinit(&host->figures);
    log_close(host->log);
}

int coordinator_host_run(const struct config *config, const struct coordinator_extension *extension)
{
    struct coordinator_host *const host = calloc(1, sizeof(*host));
    CHECK(host != nullptr);
    struct error err = {0};
    signal(SIGPIPE, SIG_IGN);
    host->config = config;
    host->extension = extension;
    host->run_begun_ns = clock_boot_ns();
    CHECK(uv_loop_init(&host->loop) == 0);
    const enum status status = open_all(host, &err);
    if (status != STATUS_OK)
        host_fault(host, "cannot start", status, &err);
    else
        uv_run(&host->loop, UV_RUN_DEFAULT);
    const int code = host->exit_code;
    close_all(host);
    free(host);
    return code;
}
