/*
 * coordinator_driver.c - see coordinator_driver.h.
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <stdio.h>
#include <string.h>

struct coordinator c;
struct member members[CAPACITY];
static uint32_t order[CAPACITY];
struct coordinator_effects fx;
uint64_t now;

struct coordinator_settings defaults(void)
{
    return (struct coordinator_settings){.k_threshold = 1,
                                         .share = 1,
                                         .max_staleness = 5,
                                         .staleness = STALENESS_POLYNOMIAL,
                                         .staleness_exponent = 0.5,
                                         .convergence = {.window_size = 5,
                                                         .patience = 10,
                                                         .divergence_patience = 3,
                                                         .max_rounds = 1,
                                                         .min_rounds = 10,
                                                         .threshold = 0.001,
                                                         .divergence_threshold = 0.5},
                                         .schedule = {.kind = SCHEDULE_CONSTANT,
                                                      .rate = 1,
                                                      .factor = 0.1,
                                                      .every = 10,
                                                      .tau = 100,
                                                      .rounds = 100},
                                         .timeout_ns = 10 * SECOND,
                                         .start_timeout_ns = 5 * SECOND,
                                         .linger_ns = SECOND,
                                         .min_updates = 1,
                                         .start_nodes = 2,
                                         .rounds_max = 3,
                                         .samples_max = 1000};
}

void step(struct coordinator_event event)
{
    event.now_ns = now;
    coordinator_step(&c, &event, &fx);
}

void tick(uint64_t duration_ns)
{
    now += duration_ns;
    step((struct coordinator_event){.kind = EV_TIMER});
}

const struct coordinator_effect *effect(enum coordinator_effect_kind kind)
{
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == kind)
            return &fx.items[i];
    }
    return nullptr;
}

const struct coordinator_effect *must(enum coordinator_effect_kind kind)
{
    const struct coordinator_effect *const found = effect(kind);
    assert_non_null(found);
    return found;
}

/* Completes the one effect of that kind in fx. */
void complete(enum coordinator_effect_kind kind, struct coordinator_event event)
{
    event.id = must(kind)->id;
    step(event);
}

struct digest digest(uint8_t fill)
{
    struct digest made;
    memset(made.bytes, fill, sizeof(made.bytes));
    return made;
}

struct version_ref version(uint64_t number)
{
    return (struct version_ref){.number = number,
                                .id = digest((uint8_t)(100 + number)),
                                .model_digest = digest((uint8_t)number),
                                .blob_bytes = 8};
}

void join(const char *name, uint64_t session)
{
    step((struct coordinator_event){.kind = EV_JOIN, .join = {.name = name, .session = session}});
}

void join_having_seen(const char *name, uint64_t session, uint64_t epoch)
{
    step((struct coordinator_event){
        .kind = EV_JOIN, .join = {.name = name, .session = session, .epoch_seen = epoch}});
}

void join_holding(const char *name, uint64_t session, uint64_t round)
{
    step((struct coordinator_event){
        .kind = EV_JOIN,
        .join = {.name = name,
                 .session = session,
                 .has_held = true,
                 .held = {.epoch = 1, .round = round, .payload_digest = digest(9)}}});
}

void leave(uint64_t session)
{
    step((struct coordinator_event){.kind = EV_LEAVE, .session = session});
}

struct member *member_of(const char *name)
{
    const uint32_t index = roster_find(&c.roster, name);
    assert_int_not_equal(index, NO_MEMBER);
    return &members[index];
}

struct update_info update(const char *name, uint8_t payload)
{
    return (struct update_info){.name = name,
                                .key = {.epoch = c.epoch,
                                        .round = c.round,
                                        .attempt = c.attempt,
                                        .payload_digest = digest(payload)},
                                .base_id = c.version.id,
                                .samples = 10,
                                .blob = {.id = payload}};
}

void offer(const struct update_info *info)
{
    step((struct coordinator_event){.kind = EV_UPDATE, .update = {.ticket = 5, .info = *info}});
}

void offer_and_fold(const char *name, uint8_t payload)
{
    const struct update_info info = update(name, payload);
    offer(&info);
    assert_non_null(effect(FX_RECEIPT_ACCEPTED));
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
}

void refused_for(const struct update_info *info, enum reason reason)
{
    const uint32_t accepted = c.accepted;
    assert_int_equal(coordinator_screen(&c, info), reason);
    offer(info);
    assert_int_equal(must(FX_RECEIPT_REFUSED)->reason, reason);
    assert_non_null(effect(FX_RELEASE));
    assert_null(effect(FX_FOLD));
    assert_int_equal(c.accepted, accepted);
}

void begin_from(struct coordinator_settings settings, struct coordinator_event start)
{
    now = 0;
    coordinator_init(&c, &settings, members, order, CAPACITY);
    start.kind = EV_START;
    step(start);
    assert_int_equal(must(FX_PERSIST_EPOCH)->epoch, start.start.epoch + 1);
}

void complete_epoch(uint64_t epoch)
{
    complete(FX_PERSIST_EPOCH,
             (struct coordinator_event){.kind = EV_EPOCH_PERSISTED, .epoch = epoch});
}

void restart(struct coordinator_settings settings, struct coordinator_event start)
{
    begin_from(settings, start);
    complete_epoch(start.start.epoch + 1);
}

void boot_with(struct coordinator_settings settings)
{
    restart(settings, (struct coordinator_event){0});
    complete(FX_CREATE_MODEL,
             (struct coordinator_event){.kind = EV_MODEL_CREATED, .version = version(0)});
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(0)});
    assert_int_equal(c.phase, COORDINATOR_GATHERING);
}

void boot(struct coordinator_settings settings)
{
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(must(FX_ANNOUNCE)->round, 1);
}

struct coordinator_event validated(void)
{
    return (struct coordinator_event){
        .kind = EV_VALIDATED,
        .validated = {.loss = 1, .accuracy = 1, .has_loss = true, .has_accuracy = true}};
}

/* What the store holds: written by store_commit as host/coordinator_commit.c does, read by stored
 * as host/coordinator_start.c does. */
static char stored_names[CAPACITY][MEMBER_NAME_MAX];
static const char *stored_pointers[CAPACITY];
static struct member_history stored_histories[CAPACITY];
static struct base_ref stored_bases[STALENESS_MAX];
static struct convergence stored_convergence;
static struct coordinator_event stored_start;

void store_commit(uint64_t number)
{
    struct coordinator_event start = {.start = {.epoch = c.epoch,
                                                .has_version = true,
                                                .version = version(number),
                                                .open_round = c.round + 1,
                                                .outcome = must(FX_COMMIT)->outcome,
                                                .histories = stored_histories,
                                                .bases = stored_bases,
                                                .convergence = &stored_convergence}};
    for (uint32_t i = 0; i < c.roster.count; i++) {
        const struct member *const member = &members[c.roster.order[i]];
        const uint32_t at = start.start.member_count;
        memcpy(stored_names[at], member->name, sizeof(member->name));
        stored_pointers[at] = stored_names[at];
        stored_histories[at] = (struct member_history){
            .is_away = !member_stays(member, c.round),
            .asked_round = member->asked_round,
            .counted_round = member->accepted ? member->key.round : member->counted_round,
            .samples = member->samples,
            .reputation = member->next_reputation};
        start.start.member_count++;
    }
    start.start.members = stored_pointers;
    for (uint64_t back = 1; back <= c.settings.max_staleness && back <= c.round; back++) {
        const uint64_t round = start.start.open_round - back;
        stored_bases[start.start.base_count++] =
            (struct base_ref){.round = round, .id = version(round - 1).id};
    }
    stored_convergence = c.convergence;
    stored_start = start;
}

struct coordinator_event stored(void)
{
    return stored_start;
}

void close_and_commit(uint64_t number)
{
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(number)});
    if (c.settings.validate)
        complete(FX_VALIDATE, validated());
    store_commit(number);
    complete(FX_COMMIT,
             (struct coordinator_event){.kind = EV_COMMITTED, .version = version(number)});
}

const char *name_of(uint32_t i)
{
    static char names[CAPACITY][8];
    snprintf(names[i], sizeof(names[i]), "n%03u", i);
    return names[i];
}

void join_many(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        join(name_of(i), i + 1);
}

uint32_t count_selected(void)
{
    uint32_t selected = 0;
    for (uint32_t i = 0; i < c.roster.count; i++)
        selected += members[c.roster.order[i]].selected;
    return selected;
}

void run_round(void)
{
    for (uint32_t i = 0; i < c.roster.count && effect(FX_CLOSE) == nullptr; i++) {
        const struct member *const member = &members[c.roster.order[i]];
        if (member->selected && !member->accepted)
            offer_and_fold(member->name, 1);
    }
    close_and_commit(c.round);
}

void answer_recall(uint64_t counted_in)
{
    const struct coordinator_effect recall = *must(FX_RECALL);
    step((struct coordinator_event){
        .kind = EV_RECALLED,
        .id = recall.id,
        .status = counted_in > 0 ? STATUS_OK : STATUS_NOT_FOUND,
        .recalled = {.member = recall.member,
                     .session = recall.session,
                     .key = recall.key,
                     .counted = counted_in > 0,
                     .version = counted_in > 0 ? version(counted_in) : (struct version_ref){0}}});
}
