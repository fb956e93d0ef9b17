/*
 * coordinator_updates.c - updates from the hub to the accumulator: cheap checks, the pool,
 * signatures on workers, the machine's verdict, the fold.
 *
 * Not here: what is decided (core/coordinator_update.c).
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"
#include "kern/kern.h"
#include "robust/weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum status coordinator_identify(void *context, SSL *ssl, struct mesh_peer *ret_peer,
                                 struct error *err)
{
    struct peer_identity peer;
    const enum status status = identity_peer(ssl, &peer, err);
    if (status != STATUS_OK)
        return status;
    memcpy(ret_peer->name, peer.id.text, sizeof(peer.id.text));
    ret_peer->until_unix_s = peer.not_after_unix_s;
    ret_peer->is_member = (peer.id.role & (SPIFFE_ROLE_NODE | SPIFFE_ROLE_EDGE)) != 0;
    return STATUS_OK;
}

static struct offer **offer_place(struct coordinator_host *host, uint64_t ticket)
{
    struct offer **place = &host->offers[ticket % OFFERS_MAX];
    while (*place != nullptr && (*place)->ticket != ticket)
        place = &(*place)->next;
    return place;
}

static void offer_free(struct offer *offer)
{
    free(offer->payload);
    bytes_deinit(&offer->envelope);
    free(offer);
}

/* Gives the memory back and asks those that wait for it. */
static void offer_forget(struct coordinator_host *host, uint64_t ticket)
{
    struct offer **const place = offer_place(host, ticket);
    struct offer *const offer = *place;
    if (offer == nullptr)
        return;
    *place = offer->next;
    host->offer_count--;
    host->pool_used -= offer->header.payload_length;
    offer_free(offer);
    if (host->waiting_count > 0 && host->hub != nullptr) {
        const uint64_t next = host->waiting[host->waiting_first];
        host->waiting_first = (host->waiting_first + 1) % OFFERS_MAX;
        host->waiting_count--;
        hub_resume(host->hub, next);
    }
}

/* A full pool makes senders wait in their order; the hub stops reading from them. */
static bool wait_for_room(struct coordinator_host *host, uint64_t ticket, uint64_t length)
{
    const bool full =
        host->pool_used > 0 && host->pool_used + length > host->config->limits.blob_pool_bytes;
    if (!full || host->waiting_count == OFFERS_MAX)
        return false;
    host->waiting[(host->waiting_first + host->waiting_count) % OFFERS_MAX] = ticket;
    host->waiting_count++;
    return true;
}

/* who: the peer that TLS verified, or whose signature was; never what an envelope only claims. */
static void count_refused(struct coordinator_host *host, const char *who, enum reason reason)
{
    const unsigned number = reason;
    host->refused[number < REASONS ? number : 0]++;
    job_figures_refused(&host->figures, &host->machine.roster, who, reason);
    host_changed(host);
}

static void refuse(struct coordinator_host *host, uint64_t ticket, const char *who,
                   enum reason reason, const char *text)
{
    struct receipt receipt = {.accepted = false, .reason = reason};
    snprintf(receipt.text, sizeof(receipt.text), "%s", text);
    count_refused(host, who, reason);
    hub_receipt(host->hub, ticket, &receipt);
}

/* What can be said before the payload is there; UNSPECIFIED: go on. */
static enum reason screen(const struct coordinator_host *host, const struct envelope_header *header)
{
    if (header->kind != ENVELOPE_UPDATE)
        return REASON_MALFORMED;
    if (strcmp(header->job, host->config->job.name) != 0 || header->fork != 0)
        return REASON_WRONG_JOB;
    if (header->payload_length != host->layout->bytes ||
        !digest_equal(&header->layout_digest, &host->layout->digest))
        return REASON_SHAPE;
    const struct update_info info = core_update_info(header, 0);
    const enum reason reason = coordinator_screen(&host->machine, &info);
    /* Two different updates are kept as evidence, once their signatures are verified. */
    return reason == REASON_EQUIVOCATION ? REASON_UNSPECIFIED : reason;
}

static struct offer *offer_create(struct coordinator_host *host, uint64_t ticket, const char *peer,
                                  const struct envelope *envelope)
{
    struct offer *const offer = calloc(1, sizeof(*offer));
    if (offer == nullptr)
        return nullptr;
    offer->host = host;
    offer->ticket = ticket;
    snprintf(offer->hop, sizeof(offer->hop), "%s", peer);
    offer->header = envelope->header;
    offer->header_size = envelope->header_bytes.size;
    offer->receiving = true;
    bytes_init(&offer->envelope, ENVELOPE_BYTES_MAX);
    offer->payload = malloc(envelope->header.payload_length);
    if (offer->payload == nullptr ||
        bytes_append(&offer->envelope, envelope->header_bytes.data, envelope->header_bytes.size) !=
            STATUS_OK ||
        bytes_append(&offer->envelope, envelope->signature.data, envelope->signature.size) !=
            STATUS_OK) {
        offer_free(offer);
        return nullptr;
    }
    struct offer **const place = offer_place(host, ticket);
    offer->next = *place;
    *place = offer;
    host->offer_count++;
    host->pool_used += envelope->header.payload_length;
    return offer;
}

static enum status on_offer(void *context, uint64_t ticket, const char *peer,
                            const struct envelope *envelope, uint8_t **ret_payload)
{
    struct coordinator_host *const host = context;
    const struct envelope_header *const header = &envelope->header;
    const enum reason reason = screen(host, header);
    if (reason != REASON_UNSPECIFIED) {
        log_event(host->log, LOG_INFO, "update.screened", LOG_STR("node", header->spiffe_id),
                  LOG_STR("hop", peer), LOG_U64("round", header->round),
                  LOG_STR("reason", reason_name(reason)));
        refuse(host, ticket, peer, reason, reason_text(reason));
        return STATUS_EXISTS;
    }
    const struct update_info info = core_update_info(header, ticket);
    if (coordinator_holds(&host->machine, &info)) {
        const struct receipt receipt = {.accepted = true};
        hub_receipt(host->hub, ticket, &receipt);
        return STATUS_EXISTS;
    }
    if (wait_for_room(host, ticket, header->payload_length))
        return STATUS_AGAIN;
    if (host->offer_count >= OFFERS_MAX) {
        refuse(host, ticket, peer, REASON_BUSY, "too many updates are under way, send it again");
        return STATUS_EXISTS;
    }
    struct offer *const offer = offer_create(host, ticket, peer, envelope);
    if (offer == nullptr) {
        refuse(host, ticket, peer, REASON_BUSY, "out of memory, send it again");
        return STATUS_EXISTS;
    }
    *ret_payload = offer->payload;
    return STATUS_OK;
}

/* On a worker: the signature, the sender's role, finite values, the norm. */
static void run_verify(struct job *job)
{
    struct offer *const offer = (struct offer *)job;
    const struct coordinator_host *const host = offer->host;
    const struct envelope envelope = {
        .header = offer->header,
        .header_bytes = {offer->envelope.data, offer->header_size},
        .signature = {offer->envelope.data + offer->header_size,
                      offer->envelope.size - offer->header_size},
    };
    struct refusal *const refusal = &offer->refusal;
    offer->status = envelope_verify(&envelope, &host->verifier, clock_unix_s(), refusal);
    if (offer->status != STATUS_OK)
        return;
    offer->verified = true;
    struct spiffe_id id;
    offer->status = spiffe_id_parse(offer->header.spiffe_id, strlen(offer->header.spiffe_id), &id,
                                    &refusal->error);
    if (offer->status == STATUS_OK)
        offer->status = spiffe_role_check(&id, SPIFFE_ROLE_NODE | SPIFFE_ROLE_EDGE, "PushUpdate",
                                          &refusal->error);
    if (offer->status != STATUS_OK) {
        refusal->reason = REASON_PERMISSION;
        return;
    }
    double squared = 0;
    const float *const values = (const float *)(const void *)offer->payload;
    if (!kern_get()->check_finite_and_norm(values, offer->header.payload_length / sizeof(float),
                                           &squared)) {
        refusal->reason = REASON_NON_FINITE;
        offer->status = error_set(&refusal->error, STATUS_PEER,
                                  "the update holds NaN or infinity; every value must be finite");
    } else if ((offer->norm = sqrt(squared)) > host->config->limits.update_norm_max) {
        refusal->reason = REASON_NORM;
        offer->status = error_set(&refusal->error, STATUS_PEER,
                                  "the update's norm is %.6g, at most %.6g is taken "
                                  "(limits.update_norm_max)",
                                  sqrt(squared), host->config->limits.update_norm_max);
    }
}

/* Who answers for it: the signer, once the signature is verified, else who brought it. */
static const char *sender_of(const struct offer *offer)
{
    return offer->verified ? offer->header.spiffe_id : offer->hop;
}

/* The node's own doing, which it signed: it is held against it. */
static void tell_machine(struct coordinator_host *host, const struct offer *offer)
{
    const bool is_norm = offer->refusal.reason == REASON_NORM;
    struct coordinator_event refused = {
        .kind = EV_REFUSED,
        .update = {
            .info = core_update_info(&offer->header, offer->ticket),
            .flag = {.is_refused = true,
                     .reason = is_norm ? SUSPECTED_NORM : SUSPECTED_NON_FINITE,
                     .score = is_norm ? offer->norm / host->config->limits.update_norm_max : 0}}};
    host_step(host, &refused);
}

static void on_verified(struct job *job)
{
    struct offer *const offer = (struct offer *)job;
    struct coordinator_host *const host = offer->host;
    if (host->hub == nullptr || host->draining)
        return; /* freed with the rest */
    if (offer->status != STATUS_OK) {
        log_event(host->log, LOG_WARN, "update.refused", LOG_STR("node", offer->header.spiffe_id),
                  LOG_U64("round", offer->header.round),
                  LOG_STR("reason", reason_name(offer->refusal.reason)),
                  LOG_STR("text", offer->refusal.error.text));
        const enum reason reason = offer->refusal.reason;
        refuse(host, offer->ticket, sender_of(offer), reason, offer->refusal.error.text);
        if (reason == REASON_NON_FINITE || reason == REASON_NORM)
            tell_machine(host, offer);
        offer_forget(host, offer->ticket);
        return;
    }
    host->bytes_in += offer->header.payload_length + offer->envelope.size;
    const uint64_t ticket = offer->ticket;
    struct coordinator_event event = {
        .kind = EV_UPDATE,
        .update = {.ticket = ticket, .info = core_update_info(&offer->header, ticket)}};
    host_step(host, &event);
}

static void on_payload(void *context, uint64_t ticket, const struct digest *payload_digest)
{
    struct coordinator_host *const host = context;
    struct offer *const offer = *offer_place(host, ticket);
    CHECK(offer != nullptr && offer->receiving);
    offer->receiving = false;
    if (!digest_equal(payload_digest, &offer->header.payload_digest)) {
        log_event(host->log, LOG_WARN, "update.refused", LOG_STR("node", offer->header.spiffe_id),
                  LOG_U64("round", offer->header.round),
                  LOG_STR("reason", reason_name(REASON_DIGEST)),
                  LOG_STR("text", reason_text(REASON_DIGEST)));
        refuse(host, ticket, sender_of(offer), REASON_DIGEST, reason_text(REASON_DIGEST));
        offer_forget(host, ticket);
        return;
    }
    offer->job = (struct job){.run = run_verify, .done = on_verified};
    worker_submit(host->verify, &offer->job);
}

static void on_gone(void *context, uint64_t ticket)
{
    struct coordinator_host *const host = context;
    const struct offer *const offer = *offer_place(host, ticket);
    /* What is being verified is a whole update: it counts, though its sender must ask again. */
    if (offer != nullptr && offer->receiving)
        offer_forget(host, ticket);
}

void updates_receipt(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    if (effect->kind == FX_RECEIPT_REFUSED) {
        const struct offer *const offer = *offer_place(host, effect->ticket);
        refuse(host, effect->ticket, offer != nullptr ? sender_of(offer) : nullptr, effect->reason,
               reason_text(effect->reason));
        return;
    }
    if (effect->member != NO_MEMBER) {
        struct offer *const offer = *offer_place(host, effect->ticket);
        CHECK(offer != nullptr);
        struct accepted_update *const accepted = &host->accepted[effect->member];
        bytes_deinit(&accepted->envelope);
        accepted->envelope = offer->envelope;
        accepted->header_size = offer->header_size;
        accepted->key_id = offer->header.key_id;
        bytes_init(&offer->envelope, ENVELOPE_BYTES_MAX);
        job_figures_accepted(&host->figures, &host->machine.roster, effect->member);
    }
    const struct receipt receipt = {.accepted = true};
    hub_receipt(host->hub, effect->ticket, &receipt);
}

/* On the math worker: into the mean, or kept until a robust rule sees them all. */
static enum status fold(struct coordinator_host *host, const struct offer *offer, struct error *err)
{
    const float *const update = (const float *)(const void *)offer->payload;
    const struct slice payload = {offer->payload, offer->header.payload_length};
    const enum status status = kept_updates_put(host->kept, offer->version_number,
                                                &offer->header.payload_digest, payload, err);
    if (status != STATUS_OK)
        return status;
    if (host->robust != nullptr)
        return robust_round_keep(host->robust, offer->header.spiffe_id, update, offer->weight, err);
    return accumulator_fold(host->accumulator, update, offer->weight, err);
}

static void run_fold(struct job *job)
{
    struct offer *const offer = (struct offer *)job;
    offer->status = fold(offer->host, offer, &offer->refusal.error);
}

static void on_folded(struct job *job)
{
    struct offer *const offer = (struct offer *)job;
    struct coordinator_host *const host = offer->host;
    struct coordinator_event event = {
        .kind = EV_FOLDED, .id = offer->fold_id, .status = offer->status};
    offer_forget(host, offer->ticket);
    if (!host->draining)
        host_step(host, &event);
}

static struct offer *weigh(struct coordinator_host *host, uint32_t index, uint64_t ticket)
{
    struct offer *const offer = *offer_place(host, ticket);
    const struct member *const member = &host->machine.roster.members[index];
    CHECK(offer != nullptr);
    offer->weight = weight_from_samples(member->samples, (uint32_t)host->config->limits.samples_max,
                                        member->staleness_weight);
    host->accepted[index].weight = offer->weight;
    offer->version_number = host->machine.version.number + 1;
    return offer;
}

void updates_fold(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    struct offer *const offer = weigh(host, effect->member, effect->blob.id);
    offer->fold_id = effect->id;
    offer->job = (struct job){.run = run_fold, .done = on_folded};
    worker_submit(host->math, &offer->job);
}

struct fold_all_job {
    struct job job;
    struct coordinator_host *host;
    uint64_t fold_id;
    enum status status;
    struct error error;
    uint32_t count;
    struct offer *offers[]; /* offer[count] */
};

static void run_fold_all(struct job *job)
{
    struct fold_all_job *const all = (struct fold_all_job *)job;
    for (uint32_t i = 0; i < all->count && all->status == STATUS_OK; i++)
        all->status = fold(all->host, all->offers[i], &all->error);
}

static void on_folded_all(struct job *job)
{
    struct fold_all_job *const all = (struct fold_all_job *)job;
    struct coordinator_host *const host = all->host;
    struct coordinator_event event = {.kind = EV_FOLDED, .id = all->fold_id, .status = all->status};
    for (uint32_t i = 0; i < all->count; i++)
        offer_forget(host, all->offers[i]->ticket);
    free(all);
    if (!host->draining)
        host_step(host, &event);
}

void updates_fold_waiting(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &host->machine.roster;
    struct fold_all_job *const all = calloc(1, sizeof(*all) + sizeof(*all->offers) * roster->count);
    CHECK(all != nullptr);
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->folding)
            all->offers[all->count++] = weigh(host, roster->order[i], member->blob.id);
    }
    all->job = (struct job){.run = run_fold_all, .done = on_folded_all};
    all->host = host;
    all->fold_id = effect->id;
    worker_submit(host->math, &all->job);
}

void updates_release_waiting(struct coordinator_host *host)
{
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->waiting)
            offer_forget(host, member->blob.id);
    }
}

void updates_release_shut_out(struct coordinator_host *host)
{
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member->shut_out)
            offer_forget(host, member->blob.id);
    }
}

void updates_release(struct coordinator_host *host, uint64_t ticket)
{
    offer_forget(host, ticket);
}

struct evidence_job {
    struct job job;
    struct coordinator_host *host;
    char node[STORE_NAME_MAX];
    struct bytes first;
    struct bytes second;
    struct digest key_ids[2];
    struct bytes chains[2]; /* of these keys, so that others can verify the two messages */
    enum status status;
};

static void run_evidence(struct job *job)
{
    struct evidence_job *const evidence = (struct evidence_job *)job;
    /* Where a chain is known by another certificate, that one stays. */
    for (int i = 0; i < 2; i++) {
        if (evidence->chains[i].size > 0)
            (void)!store_put_certificate(evidence->host->store, &evidence->key_ids[i],
                                         bytes_slice(&evidence->chains[i]), nullptr);
    }
    evidence->status =
        store_put_evidence(evidence->host->store, evidence->node, bytes_slice(&evidence->first),
                           bytes_slice(&evidence->second), nullptr);
}

static void on_evidence(struct job *job)
{
    struct evidence_job *const evidence = (struct evidence_job *)job;
    log_event(evidence->host->log, LOG_WARN, "update.equivocation", LOG_STR("node", evidence->node),
              LOG_STATUS(evidence->status));
    bytes_deinit(&evidence->first);
    bytes_deinit(&evidence->second);
    bytes_deinit(&evidence->chains[0]);
    bytes_deinit(&evidence->chains[1]);
    free(evidence);
}

void updates_evidence(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    const struct offer *const offer = *offer_place(host, effect->ticket);
    const struct bytes *const first = &host->accepted[effect->member].envelope;
    struct evidence_job *const evidence = calloc(1, sizeof(*evidence));
    CHECK(offer != nullptr && evidence != nullptr);
    evidence->job = (struct job){.run = run_evidence, .done = on_evidence};
    evidence->host = host;
    memcpy(evidence->node, host->machine.roster.members[effect->member].name, STORE_NAME_MAX);
    bytes_init(&evidence->first, ENVELOPE_BYTES_MAX);
    bytes_init(&evidence->second, ENVELOPE_BYTES_MAX);
    CHECK(bytes_append(&evidence->first, first->data, first->size) == STATUS_OK &&
          bytes_append(&evidence->second, offer->envelope.data, offer->envelope.size) == STATUS_OK);
    evidence->key_ids[0] = host->accepted[effect->member].key_id;
    evidence->key_ids[1] = offer->header.key_id;
    for (int i = 0; i < 2; i++) {
        bytes_init(&evidence->chains[i], STORE_CERTIFICATE_BYTES_MAX);
        (void)!keyring_find_certificate(host->keyring, &evidence->key_ids[i], &evidence->chains[i]);
    }
    worker_submit(host->disk, &evidence->job);
}

/* refusal's reason and text are set where it is not OK. */
static enum status admit(struct coordinator_host *host, const char *peer,
                         const struct join_request *request, struct svid_info *ret_info,
                         struct refusal *refusal)
{
    struct error *const err = &refusal->error;
    refusal->reason = REASON_WRONG_JOB;
    if (strcmp(request->job, host->config->job.name) != 0)
        return error_set(err, STATUS_PEER, "this coordinator runs the job %s",
                         host->config->job.name);
    refusal->reason = REASON_IDENTITY;
    if (strcmp(peer, request->spiffe_id) != 0)
        return error_set(err, STATUS_IDENTITY, "%s may not join as somebody else", peer);
    const enum status status = keyring_add(host->keyring, request->chain.certificates,
                                           request->chain.count, clock_unix_s(), ret_info, err);
    if (status != STATUS_OK)
        return error_prefix(err, status, "the certificate of the signing key");
    if (strcmp(ret_info->id.text, peer) != 0)
        return error_set(err, STATUS_IDENTITY, "the signing key is %s's, not %s's",
                         ret_info->id.text, peer);
    return STATUS_OK;
}

static void on_join(void *context, uint64_t session, const char *peer,
                    const struct join_request *request)
{
    struct coordinator_host *const host = context;
    struct refusal refusal = {0};
    struct svid_info info;
    const enum status status = admit(host, peer, request, &info, &refusal);
    if (status != STATUS_OK) {
        log_event(host->log, LOG_WARN, "member.refused", LOG_STR("node", peer),
                  LOG_STR("reason", reason_name(refusal.reason)),
                  LOG_STR("text", refusal.error.text));
        count_refused(host, peer, refusal.reason);
        hub_end(host->hub, session, refusal.error.text);
        return;
    }
    struct coordinator_event event = {
        .kind = EV_JOIN,
        .join = {.name = peer,
                 .session = session,
                 .epoch_seen = request->epoch_seen,
                 .has_held = request->has_held,
                 .held = {.epoch = request->held.epoch,
                          .round = request->held.round,
                          .attempt = request->held.attempt,
                          .payload_digest = request->held.payload_digest}}};
    host_step(host, &event);
    const uint32_t index = roster_find(&host->machine.roster, peer);
    if (index != NO_MEMBER && host->members[index].session == session)
        job_figures_joined(&host->figures, &host->machine.roster, index, clock_unix_ms(),
                           (uint64_t)info.not_after_unix_s);
}

static void on_leave(void *context, uint64_t session)
{
    struct coordinator_host *const host = context;
    struct coordinator_event event = {.kind = EV_LEAVE, .session = session};
    const uint32_t index = roster_find_session(&host->machine.roster, session);
    if (index != NO_MEMBER)
        job_figures_left(&host->figures, &host->machine.roster, index, clock_unix_ms());
    host_step(host, &event);
}

static void on_refused(void *context, const char *peer, const struct refusal *refusal)
{
    struct coordinator_host *const host = context;
    count_refused(host, peer, refusal->reason);
    log_event(host->log, LOG_WARN, "update.refused", LOG_STR("hop", peer),
              LOG_STR("reason", reason_name(refusal->reason)),
              LOG_STR("text", refusal->error.text));
}

static void on_expired(void *context, const char *peer)
{
    struct coordinator_host *const host = context;
    log_event(host->log, LOG_WARN, "connection.expired", LOG_STR("node", peer),
              LOG_STR("text", "its certificate has ended, and it did not come with a new one"));
}

static void on_connection_refused(void *context, const char *address, const char *reason)
{
    struct coordinator_host *const host = context;
    count_refused(host, nullptr, REASON_IDENTITY);
    log_event(host->log, LOG_WARN, "connection.refused", LOG_STR("address", address),
              LOG_STR("reason", reason));
}

static enum status on_pull(void *context, const struct digest *digest, struct slice *ret_bytes)
{
    struct coordinator_host *const host = context;
    for (struct model_file *file = host->served; file != nullptr; file = file->next) {
        if (!digest_equal(&file->blob_digest, digest))
            continue;
        model_file_ref(file);
        host->bytes_out += file->size;
        *ret_bytes = (struct slice){file->bytes, file->size};
        return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}

static void on_blob_done(void *context, const struct digest *digest)
{
    struct coordinator_host *const host = context;
    for (struct model_file *file = host->served; file != nullptr; file = file->next) {
        if (digest_equal(&file->blob_digest, digest)) {
            model_file_unref(file);
            return;
        }
    }
    CHECK(!"a blob is kept as long as somebody pulls it");
}

const struct hub_handlers coordinator_hub_handlers = {
    .on_join = on_join,
    .on_leave = on_leave,
    .on_offer = on_offer,
    .on_payload = on_payload,
    .on_gone = on_gone,
    .on_refused = on_refused,
    .on_expired = on_expired,
    .on_connection_refused = on_connection_refused,
    .on_pull = on_pull,
    .on_blob_done = on_blob_done,
};

void updates_deinit(struct coordinator_host *host)
{
    for (uint32_t i = 0; host->offers != nullptr && i < OFFERS_MAX; i++) {
        while (host->offers[i] != nullptr)
            offer_forget(host, host->offers[i]->ticket);
    }
    free(host->offers);
    free(host->waiting);
    for (uint64_t i = 0; host->accepted != nullptr && i < host->config->limits.nodes_max; i++)
        bytes_deinit(&host->accepted[i].envelope);
    free(host->accepted);
}
