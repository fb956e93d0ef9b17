/*
 * sim_coordinator.c - the coordinator's process: carries out what its machine wants, is killed
 * between two effects, starts again from its store.
 *
 * As host/coordinator_host.c and host/coordinator_directives.c. Not here: updates (sim_updates.c),
 * versions (sim_versions.c), commits (sim_commit.c).
 */
#include "sim/sim_internal.h"

#include "wire/messages.h"

#include <stdlib.h>
#include <string.h>

static void forget(struct world *w)
{
    struct server *const server = &w->server;
    for (uint32_t i = 0; i < w->plan->nodes; i++)
        bytes_deinit(&server->accepted[i].envelope);
    memset(server->accepted, 0, sizeof(*server->accepted) * w->plan->nodes);
    memset(server->known, 0, sizeof(*server->known) * w->plan->nodes);
    offers_free(w);
    empty_sums(w);
    model_file_unref(server->model);
    model_file_unref(server->candidate);
    model_file_unref(server->state);
    model_file_unref(server->state_candidate);
    server->model = server->candidate = server->state = server->state_candidate = nullptr;
    server->math_ns = server->disk_ns = 0;
    CHECK(server->queues.offers == 0);
    server->queues = (struct queues){0};
    server->validated = server->validated_candidate = (struct validated){0};
}

void server_open(struct world *w)
{
    const uint32_t nodes = w->plan->nodes;
    struct server *const server = &w->server;
    server->process.incarnation = ++w->incarnations;
    CHECK(accumulator_create(w->parameter_count, grid_from_norm_max(w->work->norm_max),
                             &server->accumulator) == STATUS_OK);
    server->members = calloc(nodes, sizeof(*server->members));
    server->order = calloc(nodes, sizeof(*server->order));
    server->accepted = calloc(nodes, sizeof(*server->accepted));
    server->known = calloc(nodes, sizeof(*server->known));
    CHECK(server->members && server->order && server->accepted && server->known);
}

void server_close(struct world *w)
{
    struct server *const server = &w->server;
    forget(w);
    accumulator_destroy(server->accumulator);
    free(server->members);
    free(server->order);
    free(server->accepted);
    free(server->known);
    *server = (struct server){0};
}

void server_kill(struct world *w, uint64_t back_after_ns)
{
    struct process *const process = &w->server.process;
    forget(w);
    for (uint64_t session = 1; session <= w->session_count; session++) {
        if (w->sessions[session].incarnation == process->incarnation)
            sim_break(w, session);
    }
    process->up = false;
    process->incarnation = ++w->incarnations;
    process->timer_order = 0;
    if (back_after_ns > 0 && !w->is_old_running)
        sim_push(w, sim_happening(w, HAPPEN_START, COORDINATOR, back_after_ns));
}

/* What was asked of a process that was killed before it was durable is asked again. */
static void operate_again(struct world *w, bool is_paused)
{
    if (w->wants_pause != is_paused || w->wants_cancel)
        sim_push(w, sim_happening(w, HAPPEN_OPERATE, COORDINATOR, sim_delay(w)));
}

void server_start(struct world *w)
{
    struct server *const server = &w->server;
    struct coordinator_event event;
    sim_narrate(w, "the coordinator starts");
    store_memory_crash(w->store);
    server->process.up = true;
    server->cancelled = false;
    server->process.offset_ns = random_below(&w->random, 1000000 * SECOND);
    for (size_t i = 0; i < INSTANCE_ID_BYTES; i++)
        server->instance_id[i] = (uint8_t)random_u64(&w->random);
    coordinator_init(&server->machine, &w->plan->machine, server->members, server->order,
                     w->plan->nodes);
    struct start_state *const state = start_read(w, &event, &server->model, &server->state);
    server->commits_read = w->result->versions;
    if (state == nullptr) {
        sim_narrate(w, "the coordinator does not start: %s", status_text(STATUS_CORRUPT));
        server_kill(w, SECOND + sim_delay(w));
        return;
    }
    server->validated = *start_validated(state);
    if (memcmp(&server->validated, &w->seen, sizeof(w->seen)) != 0)
        sim_fail(w, "the coordinator starts with another memory of the rule validated than became "
                    "durable");
    const bool is_paused = event.start.paused;
    const bool has_ended = event.start.outcome != OUTCOME_NONE;
    server_step(w, event);
    if (server->process.up)
        oracle_start(w, &event);
    start_free(state);
    if (!has_ended)
        operate_again(w, is_paused);
}

static void send(struct world *w, uint64_t session, const struct directive *directive)
{
    if (session == 0)
        return;
    struct happening *const message =
        sim_happening(w, HAPPEN_DIRECTIVE, w->sessions[session].node, 0);
    message->session = session;
    CHECK(directive_encode(directive, &message->bytes) == STATUS_OK);
    sim_send_down(w, message, true);
}

static void send_welcome(struct world *w, uint64_t session, uint64_t epoch)
{
    struct directive directive = {.kind = DIRECTIVE_WELCOME};
    /* No certificates here: the verifier knows all names. */
    directive.welcome = (struct welcome){
        .chain = {.count = 1, .certificates = {{(const uint8_t *)"certificate", 11}}},
        .epoch = epoch,
        .message_bytes_max = 1 << 20,
        .chunk_bytes = BLOB_CHUNK_BYTES,
        .job = SIM_JOB};
    memcpy(directive.welcome.instance_id, w->server.instance_id, INSTANCE_ID_BYTES);
    send(w, session, &directive);
}

static void send_beacon(struct world *w, uint64_t session)
{
    const struct coordinator *const c = &w->server.machine;
    const uint64_t now_ns = sim_clock(w, &w->server.process);
    struct envelope_header header = {
        .kind = ENVELOPE_BEACON,
        .hash_id = DIGEST_SHA256,
        .epoch = c->epoch,
        .round = c->round,
        .attempt = c->attempt,
        .base_number = c->version.number,
        .base_id = c->version.id,
        .base_digest = c->version.model_digest,
        .sequence = now_ns,
        .layout_digest = w->layout->digest,
        .version_number = c->version.number,
        .version_id = c->version.id,
        .model_digest = c->version.model_digest,
        .model_blob_digest = c->version.blob_digest,
        .model_blob_length = c->version.blob_bytes,
        .deadline_ms = c->deadline_ns > now_ns ? (c->deadline_ns - now_ns) / MS + 1 : 1,
        .job = SIM_JOB,
    };
    struct bytes envelope;
    memcpy(header.instance_id, w->server.instance_id, INSTANCE_ID_BYTES);
    bytes_init(&envelope, ENVELOPE_BYTES_MAX);
    struct error err = {0};
    if (envelope_seal(&header, &w->signer, &envelope, &err) != STATUS_OK)
        sim_fail(w, "a beacon cannot be signed: %s", err.text);
    oracle_beacon(w, session);
    send(w, session,
         &(struct directive){.kind = DIRECTIVE_BEACON, .beacon = bytes_slice(&envelope)});
    bytes_deinit(&envelope);
}

static struct update_ref make_ref(const struct update_key *key)
{
    return (struct update_ref){.attempt = key->attempt,
                               .epoch = key->epoch,
                               .round = key->round,
                               .payload_digest = key->payload_digest};
}

static void send_counted(struct world *w, uint64_t session, const struct update_key *key,
                         const struct version_ref *version)
{
    send(w, session,
         &(struct directive){.kind = DIRECTIVE_COUNTED,
                             .counted = {.update = make_ref(key),
                                         .version_number = version->number,
                                         .version_id = version->id}});
}

static void send_dropped(struct world *w, uint64_t session, const struct update_key *key,
                         enum reason reason)
{
    struct directive directive = {.kind = DIRECTIVE_DROPPED,
                                  .dropped = {.update = make_ref(key), .reason = reason}};
    snprintf(directive.dropped.text, sizeof(directive.dropped.text), "%s", reason_text(reason));
    send(w, session, &directive);
}

static void send_finished(struct world *w, uint64_t session,
                          const struct coordinator_effect *effect)
{
    send(w, session,
         &(struct directive){.kind = DIRECTIVE_FINISHED,
                             .finished = {.outcome = (enum wire_outcome)effect->outcome,
                                          .version_number = effect->version.number,
                                          .version_id = effect->version.id}});
}

static void settle(struct world *w, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        oracle_settle(w, member, effect->round);
        if (member->settlement == SETTLE_COUNTED)
            send_counted(w, member->session, &member->key, &effect->version);
        else if (member->settlement == SETTLE_DROPPED)
            send_dropped(w, member->session, &member->held, member->settlement_reason);
    }
}

static void to_all(struct world *w, const struct coordinator_effect *effect)
{
    const struct roster *const roster = &w->server.machine.roster;
    for (uint32_t i = 0; i < roster->count; i++) {
        const struct member *const member = &roster->members[roster->order[i]];
        if (effect->kind == FX_ANNOUNCE && member_hears_beacon(member))
            send_beacon(w, member->session);
        else if (effect->kind == FX_FINISH && member_hears_finish(member))
            send_finished(w, member->session, effect);
    }
}

/* One write at a time, in their order. */
static void to_disk(struct world *w, const struct coordinator_effect *effect)
{
    struct happening *const disk = sim_happening(w, HAPPEN_DISK, COORDINATOR, 0);
    disk->at_ns = w->now_ns + sim_delay(w);
    if (disk->at_ns <= w->server.disk_ns)
        disk->at_ns = w->server.disk_ns + 1;
    w->server.disk_ns = disk->at_ns;
    w->server.queues.writes++;
    disk->effect = *effect;
    if (effect->kind == FX_COMMIT || effect->kind == FX_PERSIST_OUTCOME)
        disk->commit = commit_gather(w, effect);
    sim_push(w, disk);
}

static void exit_process(struct world *w, const struct coordinator_effect *effect)
{
    if (effect->status == STATUS_OK) {
        w->server.ended = true;
        server_kill(w, 0);
        return;
    }
    if (w->plan->disk_faults == 0 && w->result->happened[SIM_ZOMBIE] == 0)
        sim_fail(w, "the coordinator stops for a fault that it did not have: %s",
                 status_text(effect->status));
    sim_narrate(w, "the coordinator stops: %s", status_text(effect->status));
    server_kill(w, SECOND + sim_delay(w));
}

static void carry_message(struct world *w, const struct coordinator_effect *effect)
{
    if (effect->kind == FX_WELCOME)
        send_welcome(w, effect->session, effect->epoch);
    else if (effect->kind == FX_SEND_BEACON)
        send_beacon(w, effect->session);
    else if (effect->kind == FX_SEND_COUNTED)
        send_counted(w, effect->session, &effect->key, &effect->version);
    else if (effect->kind == FX_SEND_DROPPED)
        send_dropped(w, effect->session, &effect->key, effect->reason);
    else if (effect->kind == FX_SEND_FINISHED)
        send_finished(w, effect->session, effect);
    else
        send(w, effect->session,
             &(struct directive){.kind = DIRECTIVE_OFFER, .offer = make_ref(&effect->key)});
}

static void carry(struct world *w, const struct coordinator_effect *effect)
{
    switch (effect->kind) {
    case FX_WELCOME:
    case FX_SEND_BEACON:
    case FX_SEND_COUNTED:
    case FX_SEND_DROPPED:
    case FX_SEND_FINISHED:
    case FX_SEND_OFFER:
        carry_message(w, effect);
        break;
    case FX_ANNOUNCE:
    case FX_FINISH:
        to_all(w, effect);
        break;
    case FX_SETTLE:
        settle(w, effect);
        break;
    case FX_DENY:
    case FX_END_SESSION:
        sim_break(w, effect->session);
        break;
    case FX_RECEIPT_ACCEPTED:
    case FX_RECEIPT_REFUSED:
        server_receipt(w, effect);
        break;
    case FX_CREATE_MODEL:
    case FX_FOLD:
    case FX_FOLD_WAITING:
    case FX_CLOSE:
    case FX_VALIDATE:
        server_math(w, effect);
        break;
    case FX_PERSIST_EPOCH:
    case FX_RESTORE:
    case FX_COMMIT:
    case FX_RECALL:
    case FX_PERSIST_OUTCOME:
    case FX_PERSIST_PAUSED:
        to_disk(w, effect);
        break;
    case FX_EVIDENCE:
        server_evidence(w, effect);
        break;
    case FX_RELEASE:
        offer_free(w, effect->blob.id);
        break;
    case FX_RELEASE_WAITING:
        server_release_waiting(w);
        break;
    case FX_RELEASE_SHUT_OUT:
        server_release_shut_out(w);
        break;
    case FX_TIMER:
        sim_set_timer(w, COORDINATOR, effect->deadline_ns);
        break;
    case FX_EXIT:
        exit_process(w, effect);
        break;
    }
}

/* Time comes before the event: what is asked for now holds from after this step on, what is allowed
 * now already in it. */
static void note_pauses(struct server *server, const struct coordinator_event *event, bool after)
{
    if (event->kind == EV_START)
        server->asked_pause = server->told_paused = event->start.paused;
    else if (event->kind == (after ? EV_PAUSE : EV_RESUME))
        server->asked_pause = after;
    else if (event->kind == EV_PAUSE_PERSISTED && event->status == STATUS_OK &&
             event->paused == after)
        server->told_paused = after;
}

static void step(struct world *w, struct coordinator_event event)
{
    struct server *const server = &w->server;
    struct coordinator_effects *const effects = malloc(sizeof(*effects));
    CHECK(effects != nullptr);
    server->queues.verifying -= event.kind == EV_UPDATE;
    note_pauses(server, &event, false);
    if (event.kind == EV_CANCEL && !server->cancelled) {
        server->cancelled = true;
        server->is_on_its_way = server->machine.phase >= COORDINATOR_CLOSING &&
                                server->machine.phase <= COORDINATOR_RESTORING;
    }
    coordinator_step(&server->machine, &event, effects);
    sim_tell(w, &effects->traces, COORDINATOR);
    oracle_machine(w, &effects->traces);
    note_pauses(server, &event, true);
    const uint32_t incarnation = server->process.incarnation;
    for (uint32_t i = 0; i < effects->count && server->process.incarnation == incarnation; i++) {
        const double chance = w->crashes_left > 0 ? 0.3 / w->plan->nodes : 0;
        if (sim_strikes(w, SIM_CRASH, chance)) {
            w->crashes_left--;
            sim_narrate(w, "the coordinator is killed");
            server_kill(w, 200 * MS + random_below(&w->random, 5 * SECOND));
            break;
        }
        carry(w, &effects->items[i]);
    }
    if (server->process.incarnation == incarnation)
        oracle_queues(w);
    free(effects);
}

void server_step(struct world *w, struct coordinator_event event)
{
    const struct process *const process = &w->server.process;
    const uint32_t incarnation = process->incarnation;
    event.now_ns = sim_clock(w, process);
    if (event.kind != EV_TIMER && coordinator_is_due(&w->server.machine, event.now_ns))
        step(w, (struct coordinator_event){.kind = EV_TIMER, .now_ns = event.now_ns});
    if (process->incarnation == incarnation)
        step(w, event);
}
