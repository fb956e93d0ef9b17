/*
 * coordinator_control_test.c - what a coordinator's state looks like from outside, when an action
 * is done, and what is counted for whom.
 *
 * Method: the machine's state is written by hand, as core's tests show that it comes to be; nothing
 * runs.
 */
#include "testing.h"

#include "host/coordinator_host_internal.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY = 4 };

static struct config config;

static int set_up(void **state)
{
    struct coordinator_host *const host = calloc(1, sizeof(*host));
    struct error err = {0};
    assert_non_null(host);
    config_defaults(&config);
    strcpy(config.job.name, "fashion");
    assert_int_equal(
        spiffe_id_make("fedra.local", SPIFFE_ROLE_COORDINATOR, nullptr, &host->id, &err),
        STATUS_OK);
    host->config = &config;
    host->run_begun_ns = clock_boot_ns();
    host->members = calloc(CAPACITY, sizeof(*host->members));
    host->order = calloc(CAPACITY, sizeof(*host->order));
    roster_init(&host->machine.roster, host->members, host->order, CAPACITY);
    assert_int_equal(job_figures_init(&host->figures, CAPACITY), STATUS_OK);
    host->machine.deadline_ns = NO_DEADLINE;
    *state = host;
    return 0;
}

static int tear_down(void **state)
{
    struct coordinator_host *const host = *state;
    job_figures_deinit(&host->figures);
    free(host->members);
    free(host->order);
    free(host);
    return 0;
}

/* --- actions --- */

static void an_action_is_done_when_it_is_durable_and_nothing_else_is_under_way(void **state)
{
    static const struct {
        enum control_action action;
        enum coordinator_phase phase;
        bool paused; /* durably */
        bool wanted;
        uint64_t paused_id; /* one is being made durable */
        enum outcome outcome;
        enum status status;
        const char *text;
    } cases[] = {
        {CONTROL_PAUSE, COORDINATOR_COLLECTING, true, true, 0, OUTCOME_NONE, STATUS_OK, ""},
        {CONTROL_PAUSE, COORDINATOR_PAUSED, true, true, 0, OUTCOME_NONE, STATUS_OK, ""},
        {CONTROL_PAUSE, COORDINATOR_COLLECTING, false, true, 7, OUTCOME_NONE, STATUS_AGAIN, ""},
        /* Paused, a resume on its way to the disk, and paused again: it is undone in between. */
        {CONTROL_PAUSE, COORDINATOR_PAUSED, true, true, 7, OUTCOME_NONE, STATUS_AGAIN, ""},
        {CONTROL_PAUSE, COORDINATOR_COLLECTING, false, false, 7, OUTCOME_NONE, STATUS_AGAIN, ""},
        {CONTROL_PAUSE, COORDINATOR_COLLECTING, false, false, 0, OUTCOME_NONE, STATUS_INVAL,
         "another operator has it resumed"},
        {CONTROL_RESUME, COORDINATOR_COLLECTING, false, false, 0, OUTCOME_NONE, STATUS_OK, ""},
        {CONTROL_RESUME, COORDINATOR_PAUSED, true, false, 7, OUTCOME_NONE, STATUS_AGAIN, ""},
        {CONTROL_RESUME, COORDINATOR_PAUSED, true, true, 0, OUTCOME_NONE, STATUS_INVAL,
         "another operator has it paused"},
        {CONTROL_PAUSE, COORDINATOR_ENDING, false, false, 0, OUTCOME_EXHAUSTED, STATUS_AGAIN, ""},
        {CONTROL_PAUSE, COORDINATOR_ENDED, false, false, 0, OUTCOME_EXHAUSTED, STATUS_INVAL,
         "the job has ended: exhausted"},
        {CONTROL_CANCEL, COORDINATOR_COLLECTING, false, false, 0, OUTCOME_NONE, STATUS_AGAIN, ""},
        {CONTROL_CANCEL, COORDINATOR_ENDING, false, false, 0, OUTCOME_CANCELLED, STATUS_AGAIN, ""},
        {CONTROL_CANCEL, COORDINATOR_ENDED, false, false, 0, OUTCOME_CANCELLED, STATUS_OK, ""},
        {CONTROL_CANCEL, COORDINATOR_ENDED, false, false, 0, OUTCOME_DIVERGED, STATUS_INVAL,
         "the job has ended: diverged"},
        {CONTROL_CANCEL, COORDINATOR_FAILED, false, false, 0, OUTCOME_NONE, STATUS_INVAL,
         "the coordinator stops for a local fault"},
    };
    struct coordinator_host *const host = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct error err = {0};
        host->machine.phase = cases[i].phase;
        host->machine.paused = cases[i].paused;
        host->machine.pause_wanted = cases[i].wanted;
        host->machine.paused_id = cases[i].paused_id;
        host->machine.outcome = cases[i].outcome;
        const enum status status = coordinator_control_done(host, cases[i].action, &err);
        if (status != cases[i].status || strcmp(err.text, cases[i].text) != 0)
            fail_msg("case %zu: %s, \"%s\"", i, status_name(status), err.text);
    }
}

static void what_is_asked_for_before_there_is_a_job_waits(void **state)
{
    static const enum coordinator_phase phases[] = {COORDINATOR_RAISING, COORDINATOR_CREATING};
    struct coordinator_host *const host = *state;
    for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
        struct error err = {0};
        host->machine.phase = phases[i];
        assert_int_equal(coordinator_control_act(host, CONTROL_PAUSE, "o", &err), STATUS_OK);
        assert_true(host->action_is_due[CONTROL_PAUSE] && !host->machine.pause_wanted);
        assert_int_equal(coordinator_control_done(host, CONTROL_PAUSE, &err), STATUS_AGAIN);
        /* The later one of the two counts. */
        assert_int_equal(coordinator_control_act(host, CONTROL_RESUME, "o", &err), STATUS_OK);
        assert_true(host->action_is_due[CONTROL_RESUME] && !host->action_is_due[CONTROL_PAUSE]);
        assert_int_equal(coordinator_control_act(host, CONTROL_CANCEL, "o", &err), STATUS_OK);
        assert_true(host->action_is_due[CONTROL_CANCEL] && !host->machine.cancelled);
        assert_int_equal(coordinator_control_done(host, CONTROL_CANCEL, &err), STATUS_AGAIN);
        host->action_is_due[CONTROL_CANCEL] = host->action_is_due[CONTROL_RESUME] = false;
    }
}

static void an_ended_job_takes_no_action(void **state)
{
    struct coordinator_host *const host = *state;
    struct error err = {0};
    host->machine.phase = COORDINATOR_ENDED;
    host->machine.outcome = OUTCOME_CONVERGED;
    assert_int_equal(coordinator_control_act(host, CONTROL_CANCEL, "o", &err), STATUS_INVAL);
    assert_string_equal(err.text, "the job has ended: converged");
    assert_false(host->action_is_due[CONTROL_CANCEL]);
}

/* --- what is seen --- */

static void every_phase_is_told_and_only_an_open_round_has_figures(void **state)
{
    static const struct {
        enum coordinator_phase phase;
        enum control_phase told;
        bool open;
    } cases[] = {
        {COORDINATOR_BOOT, CONTROL_PHASE_STARTING, false},
        {COORDINATOR_RAISING, CONTROL_PHASE_STARTING, false},
        {COORDINATOR_CREATING, CONTROL_PHASE_STARTING, false},
        {COORDINATOR_GATHERING, CONTROL_PHASE_GATHERING, false},
        {COORDINATOR_PAUSED, CONTROL_PHASE_PAUSED, false},
        {COORDINATOR_COLLECTING, CONTROL_PHASE_COLLECTING, true},
        {COORDINATOR_CLOSING, CONTROL_PHASE_CLOSING, true},
        {COORDINATOR_VALIDATING, CONTROL_PHASE_VALIDATING, true},
        {COORDINATOR_COMMITTING, CONTROL_PHASE_COMMITTING, true},
        {COORDINATOR_RESTORING, CONTROL_PHASE_RESTORING, true},
        {COORDINATOR_ENDING, CONTROL_PHASE_ENDING, false},
        {COORDINATOR_ENDED, CONTROL_PHASE_ENDED, false},
        {COORDINATOR_FAILED, CONTROL_PHASE_FAILED, false},
    };
    struct coordinator_host *const host = *state;
    host->machine.selected = 10;
    host->machine.k = 9;
    host->machine.accepted = 8;
    host->machine.outcome = OUTCOME_EXHAUSTED; /* decided, perhaps not durable */
    host->machine.settings.start_nodes = 5;
    host->machine.pause_wanted = true; /* not durable: not told */
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct control_status status;
        host->machine.phase = cases[i].phase;
        coordinator_control_status(host, &status);
        assert_int_equal(status.phase, cases[i].told);
        assert_false(status.paused);
        assert_int_equal(status.selected, cases[i].open ? 10 : 0);
        assert_int_equal(status.k, cases[i].open ? 9 : 0);
        assert_int_equal(status.accepted, cases[i].open ? 8 : 0);
        assert_int_equal(status.outcome, cases[i].phase == COORDINATOR_ENDED
                                             ? WIRE_OUTCOME_EXHAUSTED
                                             : WIRE_OUTCOME_NONE);
        assert_int_equal(status.members_wanted, cases[i].phase == COORDINATOR_GATHERING ? 5 : 0);
        assert_string_equal(status.job, "fashion");
        assert_string_equal(status.coordinator, "spiffe://fedra.local/fedra/coordinator");
        struct bytes message; /* whatever it is, it can be sent */
        bytes_init(&message, CONTROL_STATUS_BYTES_MAX);
        assert_int_equal(control_status_encode(&status, &message), STATUS_OK);
        bytes_deinit(&message);
    }
}

static uint32_t add_member(struct coordinator_host *host, const char *name)
{
    return roster_add(&host->machine.roster, name);
}

static struct control_member member_at(const struct coordinator_host *host, uint32_t at)
{
    struct control_member member;
    coordinator_control_member(host, at, &member);
    return member;
}

static void a_members_state_follows_the_open_round(void **state)
{
    struct coordinator_host *const host = *state;
    const uint32_t index = add_member(host, "spiffe://a/fedra/node/n");
    struct member *const member = &host->members[index];
    host->machine.phase = COORDINATOR_COLLECTING;
    member->selected = member->accepted = true;
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_AWAY);
    assert_false(member_at(host, 0).connected);
    member->session = 1;
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_ACCEPTED);
    member->accepted = false;
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_ASKED);
    host->machine.phase = COORDINATOR_PAUSED; /* what is left of the last round means nothing */
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_IDLE);
    host->machine.phase = COORDINATOR_COLLECTING;
    member->selected = false;
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_IDLE);
    member->works_for = 3;
    assert_int_equal(member_at(host, 0).state, CONTROL_MEMBER_BUSY);
}

/* --- counts --- */

static void a_members_counts_are_its_own(void **state)
{
    struct coordinator_host *const host = *state;
    const struct roster *const roster = &host->machine.roster;
    const uint32_t b = add_member(host, "spiffe://a/fedra/node/b");
    const uint32_t a = add_member(host, "spiffe://a/fedra/node/a");
    const struct update_key first = {.round = 4, .payload_digest.bytes[0] = 1};
    const struct update_key second = {.round = 5, .payload_digest.bytes[0] = 1};
    job_figures_joined(&host->figures, roster, a, 1000, 99);
    job_figures_refused(&host->figures, roster, "spiffe://a/fedra/node/a", REASON_NORM);
    job_figures_refused(&host->figures, roster, "spiffe://a/fedra/node/x", REASON_NORM);
    job_figures_refused(&host->figures, roster, nullptr, REASON_IDENTITY);
    job_figures_counted(&host->figures, roster, a);
    job_figures_dropped(&host->figures, roster, a, &first, REASON_ROUND_CLOSED);
    job_figures_dropped(&host->figures, roster, a, &first, REASON_ROUND_CLOSED); /* said again */
    job_figures_dropped(&host->figures, roster, a, &second, REASON_ROUND_CLOSED);
    host->members[a].samples = 600;
    host->members[a].loss = 0.25;
    host->members[a].counted_round = 3;
    job_figures_accepted(&host->figures, roster, a);
    struct control_member member = member_at(host, 0);
    assert_string_equal(member.spiffe_id, "spiffe://a/fedra/node/a");
    assert_int_equal(member.since_unix_ms, 1000);
    assert_int_equal(member.certificate_ends_unix_s, 99);
    assert_int_equal(member.refused.by_reason[REASON_NORM], 1);
    assert_int_equal(member.dropped.by_reason[REASON_ROUND_CLOSED], 2);
    assert_int_equal(member.counted, 1);
    assert_int_equal(member.round_counted, 3);
    assert_int_equal(member.samples, 600);
    assert_true(member.loss == 0.25);
    job_figures_left(&host->figures, roster, a, 2000);
    assert_int_equal(member_at(host, 0).since_unix_ms, 2000);
    member = member_at(host, 1);
    assert_int_equal(member.counted, 0);
    assert_int_equal(member.since_unix_ms, 0);
    assert_int_equal(host->figures.refused.by_reason[REASON_NORM], 2);
    assert_int_equal(host->figures.refused.by_reason[REASON_IDENTITY], 1);
    assert_int_equal(b, 0);
}

static void who_takes_a_forgotten_members_place_begins_anew(void **state)
{
    struct coordinator_host *const host = *state;
    const struct roster *const roster = &host->machine.roster;
    char name[64];
    for (int i = 0; i < CAPACITY; i++) {
        snprintf(name, sizeof(name), "spiffe://a/fedra/node/%d", i);
        const uint32_t index = add_member(host, name);
        job_figures_refused(&host->figures, roster, name, REASON_NORM);
        job_figures_counted(&host->figures, roster, index);
    }
    const uint32_t index = add_member(host, "spiffe://a/fedra/node/new"); /* 0 is forgotten */
    assert_int_equal(roster_find(roster, "spiffe://a/fedra/node/0"), NO_MEMBER);
    assert_int_equal(member_at(host, CAPACITY - 1).counted, 0);
    assert_int_equal(member_at(host, CAPACITY - 1).refused.by_reason[REASON_NORM], 0);
    job_figures_counted(&host->figures, roster, index);
    assert_int_equal(member_at(host, CAPACITY - 1).counted, 1);
    assert_int_equal(member_at(host, CAPACITY - 1).refused.by_reason[REASON_NORM], 0);
    assert_int_equal(member_at(host, 0).counted, 1);
}

static void the_best_round_has_the_lowest_loss_or_the_highest_accuracy(void **state)
{
    struct coordinator_host *const host = *state;
    struct job_figures *const figures = &host->figures;
    const struct {
        struct control_round round;
        uint64_t best;
    } cases[] = {
        {{.round = 1}, 0}, /* nothing was measured */
        {{.round = 2, .has_accuracy = true, .accuracy = 0.5}, 2},
        {{.round = 3, .has_accuracy = true, .accuracy = 0.4}, 2},
        {{.round = 4, .has_accuracy = true, .accuracy = 0.6}, 4},
        {{.round = 5, .has_loss = true, .loss = 9}, 5}, /* a loss is worth more */
        {{.round = 6, .has_accuracy = true, .accuracy = 0.9}, 5},
        {{.round = 7, .has_loss = true, .loss = 9}, 5}, /* of equal ones the first */
        {{.round = 8, .has_loss = true, .loss = 8}, 8},
        {{.round = 9, .has_loss = true, .loss = 8.5}, 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        job_figures_round(figures, &cases[i].round);
        assert_int_equal(figures->last.round, cases[i].round.round);
        assert_int_equal(figures->best.round, cases[i].best);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_action_is_done_when_it_is_durable_and_nothing_else_is_under_way),
        CASE(what_is_asked_for_before_there_is_a_job_waits),
        CASE(an_ended_job_takes_no_action),
        CASE(every_phase_is_told_and_only_an_open_round_has_figures),
        CASE(a_members_state_follows_the_open_round),
        CASE(a_members_counts_are_its_own),
        CASE(who_takes_a_forgotten_members_place_begins_anew),
        CASE(the_best_round_has_the_lowest_loss_or_the_highest_accuracy),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
