/*
 * coordinator_quarantine_test.c - who lies is found by its record, shut out, asked again on
 * probation; who is honest is not.
 *
 * Method: the machine by hand, evidence as a rule would give it. Expected figures are closed forms
 * of the average and counts of all histories of some length, not the machine's own.
 */
#include "coordinator_driver.h"

#include "testing.h"

#include <math.h>
#include <string.h>

enum { NODES = 6, ROUNDS_OUT = 4 };

static const struct flag a_flag = {.reason = SUSPECTED_COLLUSION, .score = 2.5};

static struct coordinator_settings settings_of(enum quarantine_policy policy)
{
    struct coordinator_settings settings = defaults();
    settings.quarantine = policy;
    settings.quarantine_rounds = ROUNDS_OUT;
    settings.start_nodes = NODES;
    settings.rounds_max = 1000;
    settings.convergence.patience = 1000000;
    return settings;
}

static void boot_six(struct coordinator_settings settings)
{
    boot_with(settings);
    join_many(NODES);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
}

static void close_suspecting(uint32_t count, const struct evidence *evidence)
{
    complete(FX_CLOSE, (struct coordinator_event){.kind = EV_CLOSED,
                                                  .aggregate_norm = 1,
                                                  .evidence = evidence,
                                                  .evidence_count = count,
                                                  .version = version(c.round)});
}

static void commit(void)
{
    store_commit(c.round);
    complete(FX_COMMIT,
             (struct coordinator_event){.kind = EV_COMMITTED, .version = version(c.round)});
}

static void everybody_reports(void)
{
    for (uint32_t i = 0; i < NODES && effect(FX_CLOSE) == nullptr; i++) {
        if (member_of(name_of(i))->selected)
            offer_and_fold(name_of(i), 1);
    }
}

/* A round in which the first `liars` of those asked are flagged. */
static void run_round_with(uint32_t liars)
{
    struct evidence evidence[NODES];
    uint32_t count = 0;
    everybody_reports();
    for (uint32_t i = 0; i < liars; i++) {
        const uint32_t index = roster_find(&c.roster, name_of(i));
        if (c.roster.members[index].accepted)
            evidence[count++] = (struct evidence){index, a_flag};
    }
    close_suspecting(count, evidence);
    commit();
}

/* The definition once more: of the last five of a history's flags three, in its last bit. */
static bool is_bad_by_count(uint32_t history, uint32_t length)
{
    uint32_t flags = 0;
    for (uint32_t i = 0; i < 5 && i < length; i++)
        flags += history >> (length - 1 - i) & 1;
    return flags >= 3;
}

static void all_histories_of_ten_rounds_are_judged_by_the_last_five(void **state)
{
    double by_chance = 0;
    const double p = 0.01;
    for (uint32_t history = 0; history < 1 << 10; history++) {
        struct reputation reputation = {0};
        double probability = 1;
        for (uint32_t i = 0; i < 10; i++) {
            const bool is_flagged = history >> i & 1;
            reputation_record(&reputation, i + 1, is_flagged ? &a_flag : nullptr, 49);
            assert_int_equal(reputation_is_bad(&reputation), is_bad_by_count(history, i + 1));
            probability *= is_flagged ? p : 1 - p;
        }
        assert_int_equal(reputation.rounds, 10);
        if (reputation_is_bad(&reputation) && (history >> 9 & 1))
            by_chance += probability;
    }
    assert_true(by_chance > 5 * p * p * p && by_chance <= 6 * p * p * p); /* as docs promise */
}

/* 3^7 histories of nothing, a small flag, a gross one: bad by three gross of the last five. */
static void small_flags_never_shut_out(void **state)
{
    static const struct flag small = {.reason = SUSPECTED_NORM, .score = 1.74};
    static const struct flag gross = {.reason = SUSPECTED_NORM, .score = 1.75};
    enum { LENGTH = 7, HISTORIES = 2187 };
    for (uint32_t history = 0; history < HISTORIES; history++) {
        struct reputation reputation = {0};
        uint32_t rest = history;
        uint32_t of_last[3] = {0};
        for (uint32_t i = 0; i < LENGTH; i++, rest /= 3) {
            const uint32_t kind = rest % 3;
            of_last[kind] += i >= LENGTH - 5;
            reputation_record(&reputation, i + 1,
                              kind == 0   ? nullptr
                              : kind == 1 ? &small
                                          : &gross,
                              49);
        }
        assert_int_equal(reputation_is_bad(&reputation), of_last[2] >= 3);
    }
}

/* Among many updates every flag counts: bad by five of five. */
static void among_many_five_flags_of_five_are_enough(void **state)
{
    static const struct flag small = {.reason = SUSPECTED_NORM, .score = 1};
    for (uint32_t history = 0; history < 1 << 7; history++) {
        struct reputation few = {0};
        struct reputation many = {0};
        uint32_t flags = 0;
        for (uint32_t i = 0; i < 7; i++) {
            const bool is_flagged = history >> i & 1;
            flags += is_flagged && i >= 2;
            reputation_record(&many, i + 1, is_flagged ? &small : nullptr, 50);
            reputation_record(&few, i + 1, is_flagged ? &small : nullptr, 49);
        }
        assert_int_equal(reputation_is_bad(&many), flags >= 5);
        assert_false(reputation_is_bad(&few));
    }
}

static void what_counts_as_gross(void **state)
{
    static const struct {
        struct flag flag;
        bool is_gross;
    } table[] = {
        {{SUSPECTED_NORM, 1.4, false}, false},   {{SUSPECTED_NORM, 1.8, false}, true},
        {{SUSPECTED_DISTANCE, 1, false}, false}, {{SUSPECTED_DIRECTION, 2, false}, true},
        {{SUSPECTED_COLLUSION, 1, false}, true}, {{SUSPECTED_NORM, 1.01, true}, true},
        {{SUSPECTED_NON_FINITE, 0, true}, true},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct reputation reputation = {.probation = 3};
        reputation_record(&reputation, 1, &table[i].flag, 49);
        assert_int_equal(reputation_is_bad(&reputation), table[i].is_gross);
        assert_int_equal(reputation.probation, table[i].is_gross ? 3 : 2);
        assert_int_equal(reputation.flagged, 1);
    }
}

static void a_reputation_falls_with_flags_and_comes_back_with_rounds(void **state)
{
    struct reputation reputation = {0};
    assert_true(reputation_value(&reputation) == 1);
    for (uint32_t i = 1; i <= 5; i++) {
        reputation_record(&reputation, 10 + i, &a_flag, 49);
        assert_true(fabs(reputation_value(&reputation) - pow(0.9, i)) < 1e-12);
    }
    const double before = reputation.distrust;
    for (uint32_t i = 1; i <= 22; i++)
        reputation_record(&reputation, 20 + i, nullptr, 49);
    assert_true(fabs(reputation.distrust - before * pow(0.9, 22)) < 1e-12);
    assert_true(reputation.distrust < before / 10);
    assert_int_equal(reputation.flagged, 5);
    assert_int_equal(reputation.rounds, 27);
    assert_int_equal(reputation.flagged_round, 15);
    assert_int_equal(reputation.flag.reason, SUSPECTED_COLLUSION);
    assert_true(reputation.flag.score == 2.5);
}

static void scores_that_are_no_numbers_become_some(void **state)
{
    struct reputation reputation = {0};
    reputation_record(&reputation, 1, &(struct flag){.score = (double)INFINITY}, 49);
    assert_true(isfinite(reputation.flag.score) && reputation.flag.score > 1e300);
    reputation_record(&reputation, 2, &(struct flag){.score = (double)NAN}, 49);
    assert_true(reputation.flag.score == 0);
}

static void three_flags_shut_out_and_the_n_shrinks(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    for (uint32_t round = 1; round <= 3; round++) {
        assert_true(member_of(name_of(0))->selected);
        assert_int_equal(c.needed, NODES);
        run_round_with(1);
    }
    struct member *const liar = member_of(name_of(0));
    assert_int_equal(liar->reputation.until, 4 + ROUNDS_OUT);
    assert_false(liar->selected);
    assert_int_not_equal(liar->session, 0); /* it stays connected */
    assert_int_equal(c.needed, NODES - 1);
    assert_int_equal(c.k, NODES - 1);
    const struct update_info info = update(name_of(0), 1);
    refused_for(&info, REASON_QUARANTINED);
    join(name_of(0), 77); /* again: it hears no beacon */
    assert_null(effect(FX_SEND_BEACON));
    for (uint32_t i = 1; i < NODES; i++)
        assert_true(member_of(name_of(i))->reputation.distrust == 0);
}

static void it_is_asked_again_and_one_flag_puts_it_back(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    for (uint32_t round = 1; round <= 3; round++)
        run_round_with(1);
    for (uint32_t round = 4; round < 4 + ROUNDS_OUT; round++) {
        assert_false(member_of(name_of(0))->selected);
        run_round_with(1);
    }
    assert_true(member_of(name_of(0))->selected);
    assert_int_equal(member_of(name_of(0))->reputation.rounds, 3); /* it took part in no other */
    run_round_with(0);
    assert_true(member_of(name_of(0))->selected);
    run_round_with(1);
    assert_false(member_of(name_of(0))->selected);
    assert_int_equal(member_of(name_of(0))->reputation.until, c.round + ROUNDS_OUT);
}

static void probation_ends_after_five_rounds_without_a_flag(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    for (uint32_t round = 1; round <= 3; round++)
        run_round_with(1);
    for (uint32_t round = 0; round < ROUNDS_OUT + 5; round++)
        run_round_with(0);
    run_round_with(1);
    assert_true(member_of(name_of(0))->selected); /* one flag is not enough any more */
    run_round_with(1);
    assert_true(member_of(name_of(0))->selected);
    run_round_with(1);
    assert_false(member_of(name_of(0))->selected);
}

static uint32_t traced(enum trace_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < fx.traces.count; i++)
        count += fx.traces.items[i].kind == kind;
    return count;
}

static void suggest_only_says_it_and_off_does_not(void **state)
{
    static const enum quarantine_policy policies[] = {QUARANTINE_SUGGEST, QUARANTINE_OFF};
    for (uint32_t i = 0; i < 2; i++) {
        boot_six(settings_of(policies[i]));
        run_round_with(1);
        run_round_with(1);
        everybody_reports();
        const struct evidence evidence = {roster_find(&c.roster, name_of(0)), a_flag};
        close_suspecting(1, &evidence);
        assert_int_equal(traced(TRACE_QUARANTINE_SUGGESTED), policies[i] == QUARANTINE_SUGGEST);
        commit();
        assert_true(member_of(name_of(0))->selected);
        assert_int_equal(member_of(name_of(0))->reputation.flagged, 3);
        assert_int_equal(member_of(name_of(0))->reputation.until > 0,
                         policies[i] == QUARANTINE_SUGGEST);
    }
}

static void min_updates_stay_and_the_worst_go_first(void **state)
{
    struct coordinator_settings settings = settings_of(QUARANTINE_AUTO);
    settings.min_updates = 4;
    boot_six(settings);
    run_round_with(0);
    run_round_with(1); /* of the first there is more than of the others */
    for (uint32_t round = 0; round < 3; round++)
        run_round_with(4);
    uint32_t out = 0;
    for (uint32_t i = 0; i < NODES; i++)
        out += coordinator_shuts_out(&c, member_of(name_of(i)), c.round);
    assert_int_equal(out, NODES - 4);
    assert_true(coordinator_shuts_out(&c, member_of(name_of(0)), c.round));
    assert_int_equal(count_selected(), 4);
}

static void an_update_that_waits_is_dropped_with_that_reason(void **state)
{
    struct coordinator_settings settings = settings_of(QUARANTINE_AUTO);
    settings.late = LATE_NEXT_ROUND;
    settings.max_staleness = 5;
    settings.k_threshold = 0.5;
    boot_six(settings);
    /* On probation; it sends what is refused, and then, late, what is not. */
    struct member *const liar = member_of(name_of(5));
    liar->reputation = (struct reputation){.rounds = 3, .flagged = 3, .until = 1, .probation = 5};
    step((struct coordinator_event){.kind = EV_REFUSED,
                                    .update = {.info = update(name_of(5), 8), .flag = a_flag}});
    for (uint32_t i = 0; i < 3; i++)
        offer_and_fold(name_of(i), 1);
    const struct update_info late = update(name_of(5), 9);
    close_suspecting(0, nullptr);
    const struct coordinator_effect committing = *must(FX_COMMIT);
    store_commit(1);
    offer(&late);
    must(FX_RECEIPT_ACCEPTED);
    assert_true(liar->waiting);
    step((struct coordinator_event){
        .kind = EV_COMMITTED, .id = committing.id, .version = version(1)});
    must(FX_SETTLE);
    must(FX_RELEASE_SHUT_OUT);
    assert_true(liar->shut_out);
    assert_false(liar->waiting);
    assert_int_equal(liar->settlement, SETTLE_DROPPED);
    assert_int_equal(liar->settlement_reason, REASON_QUARANTINED);
    assert_int_equal(liar->held.round, 1);
    assert_null(effect(FX_FOLD_WAITING));
    assert_int_equal(c.needed, 3); /* without it, and the two who still work for round 1 */
    assert_int_equal(liar->works_for, 0);
    /* It did not hear that, and asks. */
    join_holding(name_of(5), 50, 1);
    answer_recall(0);
    assert_int_equal(must(FX_SEND_DROPPED)->reason, REASON_QUARANTINED);
}

static void what_is_refused_for_its_content_is_a_flag(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    for (uint32_t round = 1; round <= 3; round++) {
        const struct coordinator_event refused = {
            .kind = EV_REFUSED,
            .update = {.info = update(name_of(0), 1), .flag = {SUSPECTED_NON_FINITE, 0, true}}};
        step(refused);
        for (uint32_t i = 1; i < NODES; i++)
            offer_and_fold(name_of(i), 1);
        tick(c.deadline_ns - now); /* who was refused sends nothing else */
        close_suspecting(0, nullptr);
        commit();
        assert_int_equal(member_of(name_of(0))->reputation.flagged, round);
    }
    assert_int_equal(member_of(name_of(0))->reputation.flag.reason, SUSPECTED_NON_FINITE);
    assert_false(member_of(name_of(0))->selected);
}

static void a_refusal_during_the_commit_belongs_to_the_next_round(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    everybody_reports();
    close_suspecting(0, nullptr);
    const struct coordinator_effect committing = *must(FX_COMMIT);
    store_commit(1);
    step((struct coordinator_event){.kind = EV_REFUSED,
                                    .update = {.info = update(name_of(0), 2), .flag = a_flag}});
    step((struct coordinator_event){
        .kind = EV_COMMITTED, .id = committing.id, .version = version(1)});
    assert_int_equal(member_of(name_of(0))->reputation.flagged, 0);
    run_round_with(0);
    assert_int_equal(member_of(name_of(0))->reputation.flagged, 1);
    assert_int_equal(member_of(name_of(0))->reputation.flagged_round, 2);
}

static void a_restart_knows_who_is_shut_out(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    for (uint32_t round = 1; round <= 3; round++)
        run_round_with(1);
    run_round_with(0);
    const struct reputation before = member_of(name_of(0))->reputation;
    restart(settings_of(QUARANTINE_AUTO), stored());
    join_many(NODES);
    const struct reputation *const after = &member_of(name_of(0))->reputation;
    assert_int_equal(after->rounds, 3);
    assert_int_equal(after->flagged, before.flagged);
    assert_int_equal(after->until, before.until);
    assert_int_equal(after->probation, before.probation);
    assert_true(after->distrust == before.distrust);
    assert_int_equal(c.phase, COORDINATOR_COLLECTING);
    assert_int_equal(c.round, 5);
    assert_false(member_of(name_of(0))->selected);
    assert_int_equal(count_selected(), NODES - 1);
    /* Where nobody is shut out any more, it is asked. */
    restart(settings_of(QUARANTINE_OFF), stored());
    join_many(NODES);
    assert_true(member_of(name_of(0))->selected);
}

static void evidence_that_was_not_committed_is_forgotten(void **state)
{
    boot_six(settings_of(QUARANTINE_AUTO));
    run_round_with(1);
    run_round_with(1);
    everybody_reports();
    const struct evidence evidence = {roster_find(&c.roster, name_of(0)), a_flag};
    close_suspecting(1, &evidence);
    must(FX_COMMIT);
    restart(settings_of(QUARANTINE_AUTO), stored()); /* killed before it was durable */
    join_many(NODES);
    assert_int_equal(member_of(name_of(0))->reputation.flagged, 2);
    assert_true(member_of(name_of(0))->selected);
    run_round_with(1);
    assert_int_equal(member_of(name_of(0))->reputation.flagged, 3);
    assert_false(member_of(name_of(0))->selected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_histories_of_ten_rounds_are_judged_by_the_last_five),
        cmocka_unit_test(small_flags_never_shut_out),
        cmocka_unit_test(among_many_five_flags_of_five_are_enough),
        cmocka_unit_test(what_counts_as_gross),
        cmocka_unit_test(a_reputation_falls_with_flags_and_comes_back_with_rounds),
        cmocka_unit_test(scores_that_are_no_numbers_become_some),
        cmocka_unit_test(three_flags_shut_out_and_the_n_shrinks),
        cmocka_unit_test(it_is_asked_again_and_one_flag_puts_it_back),
        cmocka_unit_test(probation_ends_after_five_rounds_without_a_flag),
        cmocka_unit_test(suggest_only_says_it_and_off_does_not),
        cmocka_unit_test(min_updates_stay_and_the_worst_go_first),
        cmocka_unit_test(an_update_that_waits_is_dropped_with_that_reason),
        cmocka_unit_test(what_is_refused_for_its_content_is_a_flag),
        cmocka_unit_test(a_refusal_during_the_commit_belongs_to_the_next_round),
        cmocka_unit_test(a_restart_knows_who_is_shut_out),
        cmocka_unit_test(evidence_that_was_not_committed_is_forgotten),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
