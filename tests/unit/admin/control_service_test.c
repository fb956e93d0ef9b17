/*
 * control_service_test.c - who may call fedra.v1.Control, pages of members, actions that are
 * answered when they are done, and watches that are not read.
 */
#include "control_world.h"

#define OPERATOR_ID "spiffe://one.test/fedra/operator/ann"

static const struct control_request any = {.job = ""};

static struct control_status status_of(const struct world_call *call)
{
    struct control_status status;
    assert_int_equal(control_status_decode(bytes_slice(&call->last), &status, nullptr), STATUS_OK);
    return status;
}

static void an_operator_gets_the_status(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    w->status.accepted = 7;
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    assert_int_equal(call.messages, 1);
    assert_int_equal(status_of(&call).accepted, 7);
    assert_int_equal(status_of(&call).sequence, 1);
    world_forget(w, &call);
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(status_of(&call).sequence, 1); /* only time has passed */
    world_forget(w, &call);
    w->status.accepted = 8;
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(status_of(&call).sequence, 2);
    world_forget(w, &call);
    assert_int_equal(w->refusals, 0);
}

static void nobody_else_may_call_any_method(void **state)
{
    static const char *const methods[] = {"GetStatus", "WatchStatus", "ListMembers", "GetMember",
                                          "Pause",     "Resume",      "Cancel"};
    static const struct {
        enum world_who who;
        const char *id;
    } cases[] = {{WHO_NODE, "spiffe://one.test/fedra/node/a"},
                 {WHO_COORDINATOR, "spiffe://one.test/fedra/coordinator"},
                 {WHO_STRANGER, "spiffe://other.test/fedra/operator/eve"}};
    struct world *const w = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (size_t m = 0; m < sizeof(methods) / sizeof(*methods); m++) {
            struct world_call call;
            char text[256];
            const uint32_t refusals = w->refusals;
            world_begin(w, cases[i].who, methods[m], CONTROL_JOB_ONLY, &any, &call);
            world_finish(w, &call);
            assert_int_equal(call.code, GRPC_STATUS_PERMISSION_DENIED);
            assert_int_equal(call.messages, 0);
            snprintf(text, sizeof(text),
                     "%s may not call fedra.v1.Control/%s; right is an operator: "
                     "spiffe://one.test/fedra/operator/NAME",
                     cases[i].id, methods[m]);
            assert_string_equal(call.text, text);
            assert_int_equal(w->refusals, refusals + 1);
            assert_string_equal(w->refused_peer, cases[i].id);
            world_forget(w, &call);
        }
    }
    assert_int_equal(w->acts, 0);
    assert_int_equal(w->statuses_asked, 0);
}

/* A connection that was opened in time lasts longer than the identity; its calls do not. */
static void an_identity_that_expires_ends_what_it_may_do(void **state)
{
    struct world *const w = *state;
    struct world_call watch;
    struct world_call call;
    world_begin(w, WHO_BRIEF, "WatchStatus", CONTROL_JOB_ONLY, &any, &watch);
    world_wait_for(w, &watch, 1);
    world_run_for(w, (BRIEF_S + 1) * 1000);
    assert_false(watch.is_closed);
    w->status.accepted++;
    control_service_changed(w->service);
    world_finish(w, &watch);
    assert_int_equal(watch.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(watch.messages, 1);
    world_ask(w, WHO_BRIEF, "Cancel", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(call.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(call.text, "the identity spiffe://one.test/fedra/operator/bob is expired; "
                                   "connect with a new one");
    assert_int_equal(w->acts, 0);
    world_forget(w, &watch);
    world_forget(w, &call);
}

static void another_job_is_not_this_one(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    const struct control_request right = {.job = "fashion"};
    const struct control_request wrong = {.job = "mnist"};
    world_ask(w, WHO_OPERATOR, "Cancel", CONTROL_JOB_ONLY, &wrong, &call);
    assert_int_equal(call.code, GRPC_STATUS_FAILED_PRECONDITION);
    assert_string_equal(call.text, "this coordinator runs the job fashion, not mnist");
    assert_int_equal(w->acts, 0);
    world_forget(w, &call);
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &right, &call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    world_forget(w, &call);
}

static void bad_requests_are_answered_with_what_was_wrong(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    static const uint8_t wrong[] = {0x10, 0xe9, 0x07}; /* page_size 1001 */
    world_begin(w, WHO_OPERATOR, "ListMembers", CONTROL_JOB_ONLY, nullptr, &call);
    assert_int_equal(rpc_call_send(call.call, (struct slice){wrong, sizeof(wrong)}), STATUS_OK);
    world_finish(w, &call);
    assert_int_equal(call.code, GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(call.text, "request: page_size is 1001, at most 1000");
    world_forget(w, &call);
    world_begin(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, nullptr, &call);
    assert_int_equal(rpc_call_half_close(call.call), STATUS_OK);
    world_finish(w, &call);
    assert_int_equal(call.code, GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(call.text, "there is no request");
    world_forget(w, &call);
    /* Nothing at all: the call is ended. */
    world_begin(w, WHO_OPERATOR, "Pause", CONTROL_JOB_ONLY, nullptr, &call);
    world_finish(w, &call);
    assert_int_equal(call.code, GRPC_STATUS_DEADLINE_EXCEEDED);
    world_forget(w, &call);
    assert_int_equal(w->acts, 0);
}

/* --- members --- */

/* Goes through all pages; gives how many there were. */
static uint32_t read_pages(struct world *w, uint32_t page_size, uint32_t *ret_members)
{
    struct control_request request = {.page_size = page_size};
    uint32_t pages = 0;
    uint32_t members = 0;
    do {
        struct world_call call;
        struct control_member member;
        world_ask(w, WHO_OPERATOR, "ListMembers", CONTROL_LIST_MEMBERS, &request, &call);
        assert_int_equal(call.code, GRPC_STATUS_OK);
        struct slice page = bytes_slice(&call.last);
        request.page_token[0] = 0;
        const uint32_t before = members;
        while (control_page_take(&page, &member, request.page_token, nullptr) == STATUS_OK) {
            assert_string_equal(member.spiffe_id, w->names[members]);
            assert_int_equal(member.counted, members);
            members++;
        }
        assert_true(page_size == 0 || members - before <= page_size);
        assert_true(members > before || w->member_count == 0);
        pages++;
        world_forget(w, &call);
    } while (request.page_token[0] != 0);
    *ret_members = members;
    return pages;
}

static void pages_hold_every_member_once_and_in_order(void **state)
{
    struct world *const w = *state;
    uint32_t members = 0;
    assert_int_equal(read_pages(w, 0, &members), 1);
    assert_int_equal(members, 0);
    world_make_members(w, 2500);
    assert_int_equal(read_pages(w, 1000, &members), 3);
    assert_int_equal(members, 2500);
    assert_int_equal(read_pages(w, 0, &members), 25); /* 100 are the default */
    assert_int_equal(members, 2500);
    world_make_members(w, 7);
    assert_int_equal(read_pages(w, 7, &members), 1); /* a full page that is the last one */
    assert_int_equal(read_pages(w, 3, &members), 3);
    assert_int_equal(members, 7);
}

static void a_page_goes_on_after_a_member_that_is_gone(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    struct control_member member;
    char token[CONTROL_NAME_MAX] = "";
    world_make_members(w, 10);
    struct control_request request = {.page_size = 2};
    snprintf(request.page_token, sizeof(request.page_token), "%s", w->names[4]);
    memmove(w->names[4], w->names[5], 5 * sizeof(w->names[0])); /* node-0004 left */
    w->member_count = 9;
    world_ask(w, WHO_OPERATOR, "ListMembers", CONTROL_LIST_MEMBERS, &request, &call);
    struct slice page = bytes_slice(&call.last);
    assert_int_equal(control_page_take(&page, &member, token, nullptr), STATUS_OK);
    assert_string_equal(member.spiffe_id, "spiffe://one.test/fedra/node/node-0005");
    world_forget(w, &call);
}

static void assert_get(struct world *w, const char *name, enum grpc_status code, const char *text)
{
    struct world_call call;
    struct control_request request = {.job = ""};
    snprintf(request.name, sizeof(request.name), "%s", name);
    world_ask(w, WHO_OPERATOR, "GetMember", CONTROL_GET_MEMBER, &request, &call);
    assert_int_equal(call.code, code);
    if (code == GRPC_STATUS_OK) {
        struct control_member member;
        assert_int_equal(control_member_decode(bytes_slice(&call.last), &member, nullptr),
                         STATUS_OK);
        assert_string_equal(member.spiffe_id, text);
    } else {
        assert_string_equal(call.text, text);
    }
    world_forget(w, &call);
}

static void a_member_is_found_by_its_id_or_its_end(void **state)
{
    struct world *const w = *state;
    world_make_members(w, 20);
    assert_get(w, "spiffe://one.test/fedra/node/node-0013", GRPC_STATUS_OK, w->names[13]);
    assert_get(w, "node-0013", GRPC_STATUS_OK, w->names[13]);
    assert_get(w, "node/node-0019", GRPC_STATUS_OK, w->names[19]);
    assert_get(w, "0013", GRPC_STATUS_NOT_FOUND, "no member is called 0013; there are 20");
    assert_get(w, "nod-0013", GRPC_STATUS_NOT_FOUND,
               "no member is called nod-0013, did you mean node-0013?");
    assert_get(w, "spiffe://one.test/fedra/node/node-0093", GRPC_STATUS_NOT_FOUND,
               "no member is called spiffe://one.test/fedra/node/node-0093, did you mean "
               "node-0003?");
    snprintf(w->names[0], sizeof(w->names[0]), "spiffe://one.test/fedra/edge/node-0013");
    assert_get(w, "node-0013", GRPC_STATUS_FAILED_PRECONDITION,
               "node-0013 may be spiffe://one.test/fedra/edge/node-0013 or "
               "spiffe://one.test/fedra/node/node-0013: give the whole id");
    assert_get(w, "edge/node-0013", GRPC_STATUS_OK, w->names[0]);
}

/* --- actions --- */

static void an_action_is_answered_when_it_is_durable(void **state)
{
    static const char *const methods[] = {"Pause", "Resume", "Cancel"};
    struct world *const w = *state;
    for (uint32_t i = 0; i < 3; i++) {
        struct world_call call;
        w->done = STATUS_AGAIN;
        world_begin(w, WHO_OPERATOR, methods[i], CONTROL_JOB_ONLY, &any, &call);
        world_wait_for_acts(w, i + 1);
        control_service_changed(w->service); /* something else */
        world_run_for(w, 20);
        assert_false(call.is_closed);
        assert_int_equal(call.messages, 0);
        assert_int_equal(w->acts, i + 1);
        assert_int_equal(w->acted, i);
        assert_string_equal(w->operator_id, OPERATOR_ID);
        w->status.round = 40 + i;
        w->done = STATUS_OK;
        control_service_changed(w->service);
        world_finish(w, &call);
        assert_int_equal(call.code, GRPC_STATUS_OK);
        assert_int_equal(status_of(&call).round, 40 + i); /* how things stand then */
        world_forget(w, &call);
    }
}

static void an_action_that_changes_at_once_is_answered_once(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    w->changes_in_act = true;
    w->done = STATUS_OK;
    world_ask(w, WHO_OPERATOR, "Pause", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    assert_int_equal(call.messages, 1);
    assert_int_equal(w->acts, 1);
    world_forget(w, &call);
}

static void what_cannot_be_done_is_not_begun(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    w->act_refused = true;
    world_ask(w, WHO_OPERATOR, "Pause", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(call.code, GRPC_STATUS_FAILED_PRECONDITION);
    assert_string_equal(call.text, "the job has ended: exhausted");
    assert_int_equal(w->acts, 0);
    world_forget(w, &call);
    /* And what becomes impossible while it is under way is said, too. */
    w->act_refused = false;
    w->done = STATUS_AGAIN;
    world_begin(w, WHO_OPERATOR, "Pause", CONTROL_JOB_ONLY, &any, &call);
    world_wait_for_acts(w, 1);
    w->done = STATUS_INVAL;
    control_service_changed(w->service);
    world_finish(w, &call);
    assert_int_equal(call.code, GRPC_STATUS_FAILED_PRECONDITION);
    world_forget(w, &call);
}

/* --- watches --- */

static void a_watch_gets_the_status_and_each_change(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &call);
    world_wait_for(w, &call, 1);
    control_service_changed(w->service); /* but nothing is another than before */
    world_run_for(w, 30);
    assert_int_equal(call.messages, 1);
    for (uint32_t i = 2; i < 6; i++) {
        w->status.accepted = i;
        control_service_changed(w->service);
        world_wait_for(w, &call, i);
        assert_int_equal(status_of(&call).accepted, i);
        assert_int_equal(call.sequences[i - 1], i);
    }
    control_service_drain(w->service);
    world_finish(w, &call);
    assert_int_equal(call.code, GRPC_STATUS_OK);
    world_forget(w, &call);
}

static void changes_in_quick_succession_become_one_message(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &call);
    world_wait_for(w, &call, 1);
    for (uint32_t i = 1; i <= 1000; i++) {
        w->status.accepted = i;
        control_service_changed(w->service);
    }
    const uint32_t asked = w->statuses_asked;
    world_run_for(w, 50);
    assert_int_equal(call.messages, 2);
    assert_int_equal(status_of(&call).accepted, 1000);
    assert_true(w->statuses_asked - asked <= 2); /* once for all watches, not for each change */
    world_forget(w, &call);
}

/* A peer that stops reading: flow control lets some through, then only the newest is kept. */
static void a_slow_reader_misses_what_was_between_and_gets_the_newest(void **state)
{
    enum { CHANGES = 1500, WINDOW = 1 << 20 };
    struct world *const w = *state;
    struct world_call call;
    struct world_call other;
    memset(w->status.outcome_text, 't', sizeof(w->status.outcome_text) - 1);
    memset(w->status.coordinator + 20, 'c', sizeof(w->status.coordinator) - 21);
    for (int i = 0; i < CONTROL_REASONS_MAX; i++)
        w->status.refusals.by_reason[i] = UINT64_MAX;
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &call);
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &other);
    world_wait_for(w, &call, 1);
    const size_t size = call.last.size;
    rpc_call_pause(call.call);
    for (uint32_t i = 1; i <= CHANGES; i++) {
        w->status.accepted = i;
        control_service_changed(w->service);
        world_wait_for(w, &other, i); /* who reads gets each of them */
    }
    rpc_call_resume(call.call);
    world_run_for(w, 300);
    assert_int_equal(status_of(&call).accepted, CHANGES);
    /* Two beside what the window held: the one that waited for it, and the newest. */
    assert_true(call.messages <= WINDOW / size + 3);
    assert_true(call.messages < CHANGES);
    for (uint32_t i = 1; i < call.messages; i++)
        assert_true(call.sequences[i] > call.sequences[i - 1]);
    world_forget(w, &call);
    world_forget(w, &other);
}

static void the_last_status_reaches_a_watch_before_its_end(void **state)
{
    struct world *const w = *state;
    struct world_call call;
    struct world_call pause;
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &call);
    w->done = STATUS_AGAIN;
    world_begin(w, WHO_OPERATOR, "Pause", CONTROL_JOB_ONLY, &any, &pause);
    world_wait_for(w, &call, 1);
    world_wait_for_acts(w, 1);
    w->status.phase = CONTROL_PHASE_ENDED;
    w->status.outcome = WIRE_OUTCOME_EXHAUSTED;
    control_service_drain(w->service);
    world_finish(w, &call);
    world_finish(w, &pause);
    assert_int_equal(status_of(&call).outcome, WIRE_OUTCOME_EXHAUSTED);
    assert_int_equal(pause.code, GRPC_STATUS_UNAVAILABLE);
    world_forget(w, &call);
    world_forget(w, &pause);
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &any, &call);
    assert_int_equal(call.code, GRPC_STATUS_UNAVAILABLE);
    world_forget(w, &call);
}

static void only_so_many_watches_are_open_at_once(void **state)
{
    static struct world_call calls[CONTROL_WATCHES_MAX + 1];
    struct world *const w = *state;
    for (int i = 0; i <= CONTROL_WATCHES_MAX; i++)
        world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &calls[i]);
    world_finish(w, &calls[CONTROL_WATCHES_MAX]);
    assert_int_equal(calls[CONTROL_WATCHES_MAX].code, GRPC_STATUS_RESOURCE_EXHAUSTED);
    world_forget(w, &calls[CONTROL_WATCHES_MAX]);
    rpc_call_cancel(calls[0].call, GRPC_STATUS_CANCELLED, nullptr);
    world_finish(w, &calls[0]);
    world_forget(w, &calls[0]);
    /* Once this is answered, the end of that call has come, too. */
    world_ask(w, WHO_OPERATOR, "GetStatus", CONTROL_JOB_ONLY, &any, &calls[0]);
    world_forget(w, &calls[0]);
    world_begin(w, WHO_OPERATOR, "WatchStatus", CONTROL_JOB_ONLY, &any, &calls[0]);
    world_wait_for(w, &calls[0], 1);
    for (int i = 0; i < CONTROL_WATCHES_MAX; i++)
        world_forget(w, &calls[i]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_operator_gets_the_status),
        CASE(nobody_else_may_call_any_method),
        CASE(an_identity_that_expires_ends_what_it_may_do),
        CASE(another_job_is_not_this_one),
        CASE(bad_requests_are_answered_with_what_was_wrong),
        CASE(pages_hold_every_member_once_and_in_order),
        CASE(a_page_goes_on_after_a_member_that_is_gone),
        CASE(a_member_is_found_by_its_id_or_its_end),
        CASE(an_action_is_answered_when_it_is_durable),
        CASE(an_action_that_changes_at_once_is_answered_once),
        CASE(what_cannot_be_done_is_not_begun),
        CASE(a_watch_gets_the_status_and_each_change),
        CASE(changes_in_quick_succession_become_one_message),
        CASE(a_slow_reader_misses_what_was_between_and_gets_the_newest),
        CASE(the_last_status_reaches_a_watch_before_its_end),
        CASE(only_so_many_watches_are_open_at_once),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
