/*
 * node_link.c - what travels over a node's connections: directives, models pulled, updates pushed.
 *
 * Beacons are believed only when their signature is the coordinator's that TLS verified and the
 * instance is the one that welcomed us. Not here: the connections themselves (node_connection.c),
 * what follows from a directive (core/node.c).
 */
#include "host/node_host_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum { CLOCKS_DIFFER_S = 60 };

static void misbehaved(struct node_link *link, const char *what, const char *text)
{
    log_event(link->host->log, LOG_WARN, "coordinator.misbehaved", LOG_STR("what", what),
              LOG_STR("text", text));
    leaf_leave(link->leaf);
}

/* A second Welcome over one connection brings a new signing key of the same coordinator. */
static enum status check_instance(const struct node_link *link, const struct welcome *welcome,
                                  struct error *err)
{
    if (!link->is_welcome ||
        memcmp(link->host->instance_id, welcome->instance_id, INSTANCE_ID_BYTES) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_PEER, "another instance speaks over the same connection");
}

static void on_welcome(struct node_link *link, const char *peer, const struct welcome *welcome)
{
    struct node_host *const host = link->host;
    const bool is_first = !link->is_welcome;
    struct error err = {0};
    struct svid_info info;
    enum status status = keyring_add(host->keyring, welcome->chain.certificates,
                                     welcome->chain.count, clock_unix_s(), &info, &err);
    if (status == STATUS_OK && strcmp(info.id.text, peer) != 0)
        status = error_set(&err, STATUS_IDENTITY, "the signing key is %s's, not %s's", info.id.text,
                           peer);
    if (status == STATUS_OK && strcmp(welcome->job, host->config->job.name) != 0)
        status = error_set(&err, STATUS_PEER, "its job is %s, ours is %s (job.name)", welcome->job,
                           host->config->job.name);
    if (status == STATUS_OK)
        status = check_instance(link, welcome, &err);
    if (status != STATUS_OK) {
        misbehaved(link, "welcome", err.text);
        return;
    }
    log_event(host->log, LOG_INFO, "coordinator.key", LOG_DIGEST("key", &info.key_id),
              LOG_I64("ends_in_s", info.not_after_unix_s - clock_unix_s()));
    if (!is_first)
        return;
    node_connection_welcomed(link);
    const bool is_same = memcmp(host->instance_id, welcome->instance_id, INSTANCE_ID_BYTES) == 0;
    memcpy(host->instance_id, welcome->instance_id, INSTANCE_ID_BYTES);
    memcpy(host->coordinator, info.id.text, sizeof(host->coordinator));
    struct node_event event = {.kind = NODE_EV_CONNECTED, .same_instance = is_same};
    node_host_step(host, &event);
}

static enum status read_beacon(struct node_host *host, struct slice bytes,
                               struct envelope_header *ret_header, struct refusal *refusal)
{
    const struct envelope_limits limits = {
        .payload_bytes_max = host->config->limits.update_bytes_max, .codecs = 1};
    struct envelope envelope;
    enum status status = envelope_parse(bytes, &limits, &envelope, refusal);
    if (status == STATUS_OK)
        status = envelope_verify(&envelope, &host->verifier, clock_unix_s(), refusal);
    if (status != STATUS_OK)
        return status;
    const struct envelope_header *const header = &envelope.header;
    if (header->kind != ENVELOPE_BEACON || strcmp(header->spiffe_id, host->coordinator) != 0 ||
        strcmp(header->job, host->config->job.name) != 0 || header->fork != 0 ||
        memcmp(header->instance_id, host->instance_id, INSTANCE_ID_BYTES) != 0)
        return error_set(&refusal->error, STATUS_PEER,
                         "the beacon is not of this job and coordinator");
    if (!digest_equal(&header->layout_digest, &host->layout->digest))
        return error_set(&refusal->error, STATUS_PEER,
                         "the announced model has other tensors than model.* says here");
    *ret_header = *header;
    return STATUS_OK;
}

static void on_beacon(struct node_link *link, struct slice bytes)
{
    struct node_host *const host = link->host;
    struct refusal refusal = {0};
    struct envelope_header header = {0};
    if (read_beacon(host, bytes, &header, &refusal) != STATUS_OK) {
        misbehaved(link, "beacon", refusal.error.text);
        return;
    }
    if (node_faults_dies(host, header.round))
        return;
    struct node_event event = {.kind = NODE_EV_BEACON,
                               .beacon = {.epoch = header.epoch,
                                          .round = header.round,
                                          .attempt = header.attempt,
                                          .remaining_ns = header.deadline_ms * 1000000,
                                          .version = {.number = header.version_number,
                                                      .id = header.version_id,
                                                      .model_digest = header.model_digest,
                                                      .blob_digest = header.model_blob_digest,
                                                      .blob_bytes = header.model_blob_length}}};
    node_host_step(host, &event);
}

static void on_settled(struct node_host *host, enum node_event_kind kind,
                       const struct update_ref *update, uint64_t number, enum reason reason)
{
    struct node_event event = {.kind = kind,
                               .settled = {.key = {.epoch = update->epoch,
                                                   .round = update->round,
                                                   .attempt = update->attempt,
                                                   .payload_digest = update->payload_digest},
                                           .version_number = number,
                                           .reason = reason}};
    node_host_step(host, &event);
}

/* What a replaced connection still says of rounds is older than what the new one says. */
static bool is_heard(const struct node_link *link, enum directive_kind kind)
{
    const struct node_host *const host = link->host;
    return link == host->link || link == host->link_next || kind == DIRECTIVE_COUNTED ||
           kind == DIRECTIVE_DROPPED || kind == DIRECTIVE_FINISHED;
}

static void on_directive(void *context, const char *peer, const struct directive *directive)
{
    struct node_link *const link = context;
    struct node_host *const host = link->host;
    struct node_event event = {.kind = NODE_EV_FINISHED};
    if (host->leaving || !is_heard(link, directive->kind))
        return;
    switch (directive->kind) {
    case DIRECTIVE_WELCOME:
        on_welcome(link, peer, &directive->welcome);
        break;
    case DIRECTIVE_BEACON:
        on_beacon(link, directive->beacon);
        break;
    case DIRECTIVE_COUNTED:
        on_settled(host, NODE_EV_COUNTED, &directive->counted.update,
                   directive->counted.version_number, REASON_UNSPECIFIED);
        break;
    case DIRECTIVE_DROPPED:
        on_settled(host, NODE_EV_DROPPED, &directive->dropped.update, 0, directive->dropped.reason);
        break;
    case DIRECTIVE_OFFER:
        on_settled(host, NODE_EV_OFFER, &directive->offer, 0, REASON_UNSPECIFIED);
        break;
    case DIRECTIVE_DRAIN:
        log_event(host->log, LOG_INFO, "coordinator.drains",
                  LOG_STR("text", directive->drain_text));
        break; /* the connection ends by itself; then it joins again */
    case DIRECTIVE_FINISHED:
        event.outcome = (enum outcome)directive->finished.outcome;
        node_host_step(host, &event);
        break;
    }
}

static void on_lost(void *context, enum status status, const char *reason)
{
    struct node_link *const link = context;
    log_event(link->host->log, LOG_INFO, "connection.ended", LOG_STATUS(status),
              LOG_STR("reason", reason));
    node_connection_lost(link);
}

/* The model must be the announced one, of the tensors that are configured here. */
static enum status take_model(struct node_host *host, struct error *err)
{
    uint8_t *const bytes = host->pull_bytes;
    host->pull_bytes = nullptr;
    model_file_unref(host->model);
    host->model = nullptr;
    const enum status status =
        model_file_adopt(bytes, host->pull_size, host->layout, &host->model, err);
    if (status != STATUS_OK)
        return status;
    if (!digest_equal(&host->model->model_digest, &host->machine.working.version.model_digest))
        return error_set(err, STATUS_DIGEST, "the model pulled is not the one announced");
    return STATUS_OK;
}

static void complete_pull(struct node_host *host, enum status status, const char *reason)
{
    struct error err = {0};
    struct node_event event = {.kind = NODE_EV_PULLED, .id = host->pull_id, .status = status};
    host->pull_id = 0;
    if (event.status == STATUS_OK)
        event.status = take_model(host, &err);
    if (event.status != STATUS_OK)
        log_event(host->log, LOG_WARN, "model.not_pulled", LOG_STATUS(event.status),
                  LOG_STR("reason", err.text[0] != 0 ? err.text : reason));
    node_host_step(host, &event);
}

static void on_pulled(void *context, uint64_t id, enum status status, const char *reason)
{
    struct node_host *const host = ((struct node_link *)context)->host;
    CHECK(id == host->pull_id);
    complete_pull(host, status, reason);
}

/*
 * Whether a refusal speaks of the signing key and not of the update: the key is not the one in use
 * any more, or its certificate has ended, by the coordinator's clock if not by ours.
 */
static bool is_about_the_key(const struct node_host *host, const struct receipt *receipt)
{
    const struct credentials *const credentials = node_connection_credentials(host);
    if (receipt->accepted || receipt->reason != REASON_IDENTITY)
        return false;
    return !digest_equal(&host->push_key_id, &credentials->signer.key_id) ||
           clock_unix_s() + CLOCKS_DIFFER_S >= credentials->identity->envelope.not_after_unix_s;
}

static void on_receipt(void *context, uint64_t id, enum status status,
                       const struct receipt *receipt)
{
    struct node_host *const host = ((struct node_link *)context)->host;
    CHECK(id == host->push_id);
    host->push_id = 0;
    struct node_event event = {.kind = NODE_EV_RECEIPT, .id = id, .status = status};
    if (status == STATUS_OK) {
        event.receipt.accepted = receipt->accepted;
        event.receipt.reason = receipt->reason;
        if (is_about_the_key(host, receipt))
            event.status = STATUS_IDENTITY; /* the update is pushed again, under a newer key */
        if (!receipt->accepted)
            log_event(host->log, LOG_WARN, "receipt.refused",
                      LOG_STR("reason", reason_name(receipt->reason)),
                      LOG_STR("text", receipt->text));
    }
    node_host_step(host, &event);
    node_work_push_ended(host);
}

const struct leaf_handlers node_link_handlers = {
    .on_directive = on_directive,
    .on_lost = on_lost,
    .on_pulled = on_pulled,
    .on_receipt = on_receipt,
};

/* A failure to begin is told like a lost connection, but not from within the step. */
struct failed_job {
    struct job job;
    struct node_host *host;
    enum node_event_kind kind;
    uint64_t id;
    enum status status;
};

static void run_nothing(struct job *job)
{
}

static void tell_failed(struct job *job)
{
    struct failed_job *const failed = (struct failed_job *)job;
    struct node_host *const host = failed->host;
    struct node_event event = {.kind = failed->kind, .id = failed->id, .status = failed->status};
    free(failed);
    if (event.kind == NODE_EV_PULLED)
        host->pull_id = 0;
    if (event.kind == NODE_EV_RECEIPT)
        host->push_id = 0;
    node_host_step(host, &event);
    if (event.kind == NODE_EV_RECEIPT)
        node_work_push_ended(host);
    node_host_done(host);
}

void node_link_fail_later(struct node_host *host, enum node_event_kind kind, uint64_t id,
                          enum status status)
{
    struct failed_job *const failed = calloc(1, sizeof(*failed));
    CHECK(failed != nullptr);
    failed->job = (struct job){.run = run_nothing, .done = tell_failed};
    failed->host = host;
    failed->kind = kind;
    failed->id = id;
    failed->status = status;
    node_host_submit(host, host->disk, &failed->job);
}

void node_link_pull(struct node_host *host, const struct node_effect *effect)
{
    const struct version_ref *const version = &effect->beacon.version;
    CHECK(host->pull_id == 0);
    host->pull_id = effect->id;
    free(host->pull_bytes);
    host->pull_bytes = nullptr;
    host->pull_size = version->blob_bytes;
    enum status status = STATUS_LIMIT;
    if (version->blob_bytes <= host->config->limits.update_bytes_max + (1u << 25)) {
        host->pull_bytes = malloc(version->blob_bytes);
        status = host->pull_bytes == nullptr
                     ? STATUS_NO_MEMORY
                     : leaf_pull(host->link->leaf, effect->id, &version->blob_digest,
                                 host->pull_bytes, version->blob_bytes);
    }
    if (status != STATUS_OK)
        node_link_fail_later(host, NODE_EV_PULLED, effect->id, status);
}

/*
 * The envelope as it goes out: signed by the key that the coordinator has heard of over this
 * connection. It is the same update whoever of the node's keys signs it, so the outbox keeps it as
 * it was.
 */
static enum status sign_for_now(struct node_host *host, struct slice *envelope, struct error *err)
{
    const struct envelope_limits limits = {.payload_bytes_max = OUTBOX_PAYLOAD_BYTES_MAX,
                                           .codecs = 1};
    const struct signer *const signer = &node_connection_credentials(host)->signer;
    struct envelope parsed;
    struct refusal refusal = {0};
    enum status status = envelope_parse(*envelope, &limits, &parsed, &refusal);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", refusal.error.text);
    host->push_key_id = signer->key_id;
    if (digest_equal(&parsed.header.key_id, &signer->key_id))
        return STATUS_OK;
    bytes_deinit(&host->push_envelope);
    bytes_init(&host->push_envelope, ENVELOPE_BYTES_MAX);
    status = envelope_seal(&parsed.header, signer, &host->push_envelope, err);
    if (status != STATUS_OK)
        return status;
    log_event(host->log, LOG_INFO, "update.signed_again", LOG_U64("round", parsed.header.round),
              LOG_DIGEST("key", &signer->key_id));
    *envelope = bytes_slice(&host->push_envelope);
    return STATUS_OK;
}

void node_link_push(struct node_host *host, const struct node_effect *effect)
{
    struct outbox_update update;
    struct error err = {0};
    CHECK(host->push_id == 0);
    host->push_id = effect->id;
    enum status status = outbox_get(host->outbox, &update, &err);
    if (status == STATUS_OK)
        status = sign_for_now(host, &update.envelope, &err);
    if (status == STATUS_OK)
        status = leaf_push(host->link->leaf, effect->id, update.envelope, update.payload);
    if (status == STATUS_OK)
        return;
    log_event(host->log, LOG_WARN, "update.not_pushed", LOG_STATUS(status),
              LOG_STR("text", err.text));
    node_link_fail_later(host, NODE_EV_RECEIPT, effect->id, status);
}
