/*
 * coordinator_directives.c - what members are told: welcome, beacon, counted, dropped, finished.
 */
#include "host/coordinator_host_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* A session whose queue is full or gone joins again; nothing is lost by that. */
static void tell(struct coordinator_host *host, uint64_t session, const struct directive *directive)
{
    if (session == 0 || host->hub == nullptr)
        return;
    const enum status status = hub_send(host->hub, session, directive);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        log_event(host->log, LOG_WARN, "directive.lost", LOG_U64("session", session),
                  LOG_STATUS(status));
}

static void send_welcome(struct coordinator_host *host, uint64_t session, uint64_t epoch)
{
    struct directive *const directive = calloc(1, sizeof(*directive));
    CHECK(directive != nullptr);
    directive->kind = DIRECTIVE_WELCOME;
    struct welcome *const welcome = &directive->welcome;
    welcome->chain = host->credentials->chain;
    memcpy(welcome->instance_id, host->instance_id, INSTANCE_ID_BYTES);
    welcome->epoch = epoch;
    welcome->message_bytes_max = host->config->limits.message_bytes_max;
    welcome->chunk_bytes = BLOB_CHUNK_BYTES;
    memcpy(welcome->job, host->config->job.name, sizeof(host->config->job.name));
    tell(host, session, directive);
    free(directive);
}

static enum status seal_beacon(struct coordinator_host *host, struct error *err)
{
    const struct coordinator *const machine = &host->machine;
    const uint64_t now = clock_boot_ns();
    struct envelope_header header = {
        .kind = ENVELOPE_BEACON,
        .hash_id = DIGEST_SHA256,
        .epoch = machine->epoch,
        .round = machine->round,
        .attempt = machine->attempt,
        .base_number = machine->version.number,
        .base_id = machine->version.id,
        .base_digest = machine->version.model_digest,
        .sequence = clock_unix_ms(),
        .layout_digest = host->layout->digest,
        .version_number = machine->version.number,
        .version_id = machine->version.id,
        .model_digest = machine->version.model_digest,
        .model_blob_digest = machine->version.blob_digest,
        .model_blob_length = machine->version.blob_bytes,
        .deadline_ms = machine->deadline_ns > now ? (machine->deadline_ns - now) / 1000000 + 1 : 1,
    };
    memcpy(header.job, host->config->job.name, sizeof(host->config->job.name));
    memcpy(header.instance_id, host->instance_id, INSTANCE_ID_BYTES);
    host->beacon.size = 0;
    return envelope_seal(&header, &host->credentials->signer, &host->beacon, err);
}

static void send_beacon(struct coordinator_host *host, uint64_t session)
{
    const struct directive directive = {.kind = DIRECTIVE_BEACON,
                                        .beacon = bytes_slice(&host->beacon)};
    host->bytes_out += host->beacon.size;
    tell(host, session, &directive);
}

static void announce(struct coordinator_host *host)
{
    struct error err = {0};
    if (host->machine.attempt == 0)
        host->marks.announce_ns = clock_boot_ns();
    const enum status status = seal_beacon(host, &err);
    if (status != STATUS_OK) {
        host_fault(host, "a beacon could not be signed", status, &err);
        return;
    }
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (member_hears_beacon(member))
            send_beacon(host, member->session);
    }
    if (host->machine.attempt == 0)
        host->marks.collect_ns = clock_boot_ns();
}

void directives_key_is_new(struct coordinator_host *host)
{
    struct error err = {0};
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++)
        send_welcome(host, roster->members[roster->order[i]].session, host->machine.epoch);
    /* Who joins from now on learns the new key only: the open round's beacon is signed anew. */
    if (host->beacon.size == 0 || host->machine.phase != COORDINATOR_COLLECTING)
        return;
    const enum status status = seal_beacon(host, &err);
    if (status != STATUS_OK)
        host_fault(host, "a beacon could not be signed", status, &err);
}

static struct update_ref make_ref(const struct update_key *key)
{
    return (struct update_ref){.attempt = key->attempt,
                               .epoch = key->epoch,
                               .round = key->round,
                               .payload_digest = key->payload_digest};
}

static void send_counted(struct coordinator_host *host, uint64_t session,
                         const struct update_key *key, const struct version_ref *version)
{
    const struct directive directive = {.kind = DIRECTIVE_COUNTED,
                                        .counted = {.update = make_ref(key),
                                                    .version_number = version->number,
                                                    .version_id = version->id}};
    tell(host, session, &directive);
}

static void send_dropped(struct coordinator_host *host, uint64_t session,
                         const struct update_key *key, enum reason reason)
{
    struct directive directive = {.kind = DIRECTIVE_DROPPED,
                                  .dropped = {.update = make_ref(key), .reason = reason}};
    snprintf(directive.dropped.text, sizeof(directive.dropped.text), "%s", reason_text(reason));
    tell(host, session, &directive);
}

static void send_offer(struct coordinator_host *host, uint64_t session,
                       const struct update_key *key)
{
    const struct directive directive = {.kind = DIRECTIVE_OFFER, .offer = make_ref(key)};
    tell(host, session, &directive);
}

static void settle(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const uint32_t index = roster->order[i];
        const struct member *const member = &roster->members[index];
        if (member->settlement == SETTLE_COUNTED) {
            job_figures_counted(&host->figures, roster, index);
            send_counted(host, member->session, &member->key, &effect->version);
        } else if (member->settlement == SETTLE_DROPPED) {
            job_figures_dropped(&host->figures, roster, index, &member->held,
                                member->settlement_reason);
            send_dropped(host, member->session, &member->held, member->settlement_reason);
        }
    }
}

static void drop(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    job_figures_dropped(&host->figures, &host->machine.roster, effect->member, &effect->key,
                        effect->reason);
    send_dropped(host, effect->session, &effect->key, effect->reason);
}

static void send_finished(struct coordinator_host *host, uint32_t index, enum outcome outcome,
                          const struct version_ref *version)
{
    const struct member *const member = &host->machine.roster.members[index];
    if (member->session == 0)
        return;
    struct directive directive = {.kind = DIRECTIVE_FINISHED,
                                  .finished = {.outcome = (enum wire_outcome)outcome,
                                               .version_number = version->number,
                                               .version_id = version->id}};
    snprintf(directive.finished.text, sizeof(directive.finished.text), "the job has ended");
    tell(host, member->session, &directive);
    host->accepted[index].told_end = true;
}

static void finish(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &host->machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        if (member_hears_finish(&roster->members[roster->order[i]]))
            send_finished(host, roster->order[i], effect->outcome, &effect->version);
    }
}

void directives_carry(struct coordinator_host *host, const struct coordinator_effect *effect)
{
    if (effect->kind == FX_WELCOME)
        send_welcome(host, effect->session, effect->epoch);
    else if (effect->kind == FX_DENY)
        hub_end(host->hub, effect->session, reason_text(effect->reason));
    else if (effect->kind == FX_END_SESSION)
        hub_end(host->hub, effect->session, "a newer connection took its place");
    else if (effect->kind == FX_ANNOUNCE)
        announce(host);
    else if (effect->kind == FX_SEND_BEACON)
        send_beacon(host, effect->session);
    else if (effect->kind == FX_SETTLE)
        settle(host, effect);
    else if (effect->kind == FX_SEND_COUNTED)
        send_counted(host, effect->session, &effect->key, &effect->version);
    else if (effect->kind == FX_SEND_DROPPED)
        drop(host, effect);
    else if (effect->kind == FX_SEND_OFFER)
        send_offer(host, effect->session, &effect->key);
    else if (effect->kind == FX_SEND_FINISHED)
        send_finished(host, effect->member, effect->outcome, &effect->version);
    else if (effect->kind == FX_FINISH)
        finish(host, effect);
}
