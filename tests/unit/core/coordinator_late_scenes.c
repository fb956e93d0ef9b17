/*
 * coordinator_late_scenes.c - see coordinator_late_scenes.h.
 */
#include "coordinator_late_scenes.h"

#include "testing.h"

/* Two of three close a round; an update may be 3 rounds late. */
struct coordinator_settings settings_of(enum late_policy late)
{
    struct coordinator_settings settings = defaults();
    settings.late = late;
    settings.max_staleness = 3;
    settings.k_threshold = 0.6;
    settings.start_nodes = 3;
    settings.rounds_max = 100;
    settings.convergence.patience = 1000;
    return settings;
}

void boot_three(struct coordinator_settings settings)
{
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(c.k, 2);
}

/* As boot_three; all three report in round 1, from round 2 on two are enough. */
void boot_with_all(struct coordinator_settings settings)
{
    settings.k_threshold = 1;
    boot_with(settings);
    join("a", 1);
    join("b", 2);
    join("d", 3);
    c.settings.k_threshold = 0.6;
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    offer_and_fold("d", 3);
    close_and_commit(1);
    assert_int_equal(c.selected, 3);
    assert_int_equal(c.k, 2);
}

/* a and b close the open round, which is committed; the next one opens. */
void close_without_d(void)
{
    const uint64_t round = c.round;
    offer_and_fold("a", 1);
    offer_and_fold("b", 2);
    close_and_commit(round);
    assert_int_equal(c.round, round + 1);
}

/* A good update that was made for that round. */
struct update_info update_for(const char *name, uint8_t payload, uint64_t round)
{
    struct update_info info = update(name, payload);
    info.key.round = round;
    info.key.attempt = 0;
    info.base_id = version(round - 1).id;
    return info;
}

uint32_t traced(enum trace_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fx.traces.count; i++)
        count += fx.traces.items[i].kind == kind;
    return count;
}

void fold(void)
{
    complete(FX_FOLD, (struct coordinator_event){.kind = EV_FOLDED});
}

/* Brings round 1 to where its set is fixed, and the work for it is under way. */
struct coordinator_effect fix_the_set(enum coordinator_phase phase)
{
    struct coordinator_settings settings = settings_of(LATE_NEXT_ROUND);
    settings.validate = true;
    boot_three(settings);
    offer_and_fold("a", 1);
    const struct update_info last = update("b", 2);
    offer(&last);
    if (phase == COORDINATOR_COLLECTING)
        return *must(FX_FOLD);
    fold();
    if (phase == COORDINATOR_CLOSING)
        return *must(FX_CLOSE);
    complete(FX_CLOSE, (struct coordinator_event){
                           .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(1)});
    if (phase == COORDINATOR_VALIDATING)
        return *must(FX_VALIDATE);
    complete(FX_VALIDATE, validated());
    return *must(FX_COMMIT);
}

/* From where fix_the_set stopped to the commit. */
void go_on(struct coordinator_effect effect)
{
    fx.count = 1;
    fx.items[0] = effect;
    if (effect.kind == FX_FOLD)
        fold();
    if (c.phase == COORDINATOR_CLOSING)
        complete(FX_CLOSE, (struct coordinator_event){
                               .kind = EV_CLOSED, .aggregate_norm = 1, .version = version(1)});
    if (c.phase == COORDINATOR_VALIDATING)
        complete(FX_VALIDATE, validated());
    complete(FX_COMMIT, (struct coordinator_event){.kind = EV_COMMITTED, .version = version(1)});
}
