/*
 * control_test.c - the messages of fedra.v1.Control: bytes against protobuf's own encoder, what is
 * out of range, and bytes that were cut or changed.
 */
#include "samples.h"

#include "wire/control.h"

#define MEMBER_A    "spiffe://fedra.example/fedra/node/a"
#define MEMBER_B    "spiffe://fedra.example/fedra/node/b"
#define COORDINATOR "spiffe://fedra.example/fedra/coordinator"

/* As golden/control_status.textproto. */
static struct control_status sample_status(void)
{
    struct control_status status = {
        .job = "fashion",
        .coordinator = COORDINATOR,
        .phase = CONTROL_PHASE_COLLECTING,
        .paused = true,
        .outcome = WIRE_OUTCOME_EXHAUSTED,
        .outcome_text = "enough",
        .epoch = 7,
        .round = 300,
        .attempt = 1,
        .rounds_max = 1000,
        .selected = 10,
        .k = 9,
        .accepted = 8,
        .late = 2,
        .deadline_ms = 41000,
        .members = 12,
        .connected = 11,
        .members_wanted = 5,
        .version_number = 299,
        .version_id = counting_digest(0x60),
        .model_digest = counting_digest(0x40),
        .last = {299, 10, 9, 1, 420, true, true, 0.5, 0.875},
        .best = {.round = 280, .selected = 10, .accepted = 10, .round_ms = 400},
        .uptime_ms = 123456,
        .bytes_in = 1000000,
        .bytes_out = 2000000,
        .sequence = 77,
    };
    status.refusals.by_reason[REASON_IDENTITY] = 3;
    status.refusals.by_reason[REASON_NORM] = 300;
    return status;
}

/* As golden/control_member.textproto. */
static struct control_member sample_member(void)
{
    struct control_member member = {
        .spiffe_id = MEMBER_A,
        .state = CONTROL_MEMBER_ACCEPTED,
        .connected = true,
        .since_unix_ms = 1764000000123,
        .round_counted = 299,
        .counted = 290,
        .samples = 600,
        .loss = 0.25,
        .certificate_ends_unix_s = 1764086400,
    };
    member.dropped.by_reason[REASON_ROUND_CLOSED] = 4;
    member.refused.by_reason[REASON_NORM] = 2;
    member.refused.by_reason[REASON_INTERNAL] = 1;
    return member;
}

static void requests_are_as_protobuf_writes_them(void **state)
{
    const struct control_request list = {.job = "fashion", .page_size = 50, .page_token = MEMBER_A};
    const struct control_request get = {.job = "fashion", .name = "node-007"};
    struct control_request read;
    struct bytes out;
    bytes_init(&out, CONTROL_REQUEST_BYTES_MAX);
    assert_int_equal(control_request_encode(CONTROL_LIST_MEMBERS, &list, &out), STATUS_OK);
    assert_golden(&out, "control_list");
    assert_int_equal(
        control_request_decode(CONTROL_LIST_MEMBERS, bytes_slice(&out), &read, nullptr), STATUS_OK);
    assert_memory_equal(&read, &list, sizeof(read));
    out.size = 0;
    assert_int_equal(control_request_encode(CONTROL_GET_MEMBER, &get, &out), STATUS_OK);
    assert_golden(&out, "control_get");
    assert_int_equal(control_request_decode(CONTROL_GET_MEMBER, bytes_slice(&out), &read, nullptr),
                     STATUS_OK);
    assert_memory_equal(&read, &get, sizeof(read));
    /* An empty message: whichever job. */
    assert_int_equal(control_request_decode(CONTROL_JOB_ONLY, (struct slice){0}, &read, nullptr),
                     STATUS_OK);
    assert_string_equal(read.job, "");
    bytes_deinit(&out);
}

static void a_status_is_as_protobuf_writes_it(void **state)
{
    const struct control_status status = sample_status();
    struct control_status read;
    struct bytes out;
    bytes_init(&out, CONTROL_STATUS_BYTES_MAX);
    assert_int_equal(control_status_encode(&status, &out), STATUS_OK);
    assert_golden(&out, "control_status");
    assert_int_equal(control_status_decode(bytes_slice(&out), &read, nullptr), STATUS_OK);
    out.size = 0;
    assert_int_equal(control_status_encode(&read, &out), STATUS_OK);
    assert_golden(&out, "control_status");
    assert_true(read.last.has_loss && read.last.has_accuracy && read.last.loss == 0.5 &&
                read.last.accuracy == 0.875);
    assert_true(!read.best.has_loss && !read.best.has_accuracy && read.best.round == 280);
    assert_int_equal(read.refusals.by_reason[REASON_NORM], 300);
    bytes_deinit(&out);
}

static void a_member_is_as_protobuf_writes_it(void **state)
{
    const struct control_member member = sample_member();
    struct control_member read;
    struct bytes out;
    bytes_init(&out, CONTROL_MEMBER_BYTES_MAX);
    assert_int_equal(control_member_encode(&member, &out), STATUS_OK);
    assert_golden(&out, "control_member");
    assert_int_equal(control_member_decode(bytes_slice(&out), &read, nullptr), STATUS_OK);
    assert_string_equal(read.spiffe_id, MEMBER_A);
    assert_int_equal(read.dropped.by_reason[REASON_ROUND_CLOSED], 4);
    assert_int_equal(read.refused.by_reason[REASON_INTERNAL], 1);
    out.size = 0;
    assert_int_equal(control_member_encode(&read, &out), STATUS_OK);
    assert_golden(&out, "control_member");
    bytes_deinit(&out);
}

static void a_page_is_read_member_by_member(void **state)
{
    const struct control_member a = {.spiffe_id = MEMBER_A, .state = CONTROL_MEMBER_AWAY};
    const struct control_member b = {
        .spiffe_id = MEMBER_B, .state = CONTROL_MEMBER_IDLE, .connected = true};
    struct control_member read;
    char token[CONTROL_NAME_MAX] = "";
    struct bytes out;
    bytes_init(&out, CONTROL_PAGE_BYTES_MAX);
    assert_int_equal(control_page_append(&a, &out), STATUS_OK);
    assert_int_equal(control_page_append(&b, &out), STATUS_OK);
    assert_int_equal(control_page_finish(MEMBER_B, &out), STATUS_OK);
    assert_golden(&out, "control_page");
    struct slice page = bytes_slice(&out);
    assert_int_equal(control_page_take(&page, &read, token, nullptr), STATUS_OK);
    assert_string_equal(read.spiffe_id, MEMBER_A);
    assert_int_equal(control_page_take(&page, &read, token, nullptr), STATUS_OK);
    assert_string_equal(read.spiffe_id, MEMBER_B);
    assert_true(read.connected);
    assert_int_equal(control_page_take(&page, &read, token, nullptr), STATUS_NOT_FOUND);
    assert_string_equal(token, MEMBER_B);
    bytes_deinit(&out);
}

/* The largest that can be must fit the sizes that both sides take. */
static void the_largest_messages_fit_their_bounds(void **state)
{
    struct control_status status = sample_status();
    struct control_member member = sample_member();
    struct control_round round = {UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX,
                                  true,       true,       -1e300,     -1e300};
    struct bytes out;
    memset(status.job, 'j', sizeof(status.job) - 1);
    memset(status.coordinator + 9, 'c', sizeof(status.coordinator) - 10);
    memset(status.outcome_text, 't', sizeof(status.outcome_text) - 1);
    memset(member.spiffe_id + 9, 'm', sizeof(member.spiffe_id) - 10);
    status.epoch = status.round = status.rounds_max = status.deadline_ms = UINT64_MAX;
    status.version_number = status.uptime_ms = status.sequence = UINT64_MAX;
    status.bytes_in = status.bytes_out = UINT64_MAX;
    status.attempt = status.selected = status.k = status.accepted = status.late = UINT32_MAX;
    status.members = status.connected = status.members_wanted = UINT32_MAX;
    status.last = status.best = round;
    for (int i = 0; i < CONTROL_REASONS_MAX; i++) {
        status.refusals.by_reason[i] = UINT64_MAX;
        member.dropped.by_reason[i] = member.refused.by_reason[i] = UINT64_MAX;
    }
    member.since_unix_ms = member.round_counted = member.counted = UINT64_MAX;
    member.samples = member.certificate_ends_unix_s = UINT64_MAX;
    bytes_init(&out, CONTROL_STATUS_BYTES_MAX);
    assert_int_equal(control_status_encode(&status, &out), STATUS_OK);
    assert_int_equal(control_status_decode(bytes_slice(&out), &status, nullptr), STATUS_OK);
    bytes_deinit(&out);
    bytes_init(&out, CONTROL_MEMBER_BYTES_MAX);
    assert_int_equal(control_member_encode(&member, &out), STATUS_OK);
    assert_int_equal(control_member_decode(bytes_slice(&out), &member, nullptr), STATUS_OK);
    bytes_deinit(&out);
}

static void what_is_out_of_range_is_neither_written_nor_read(void **state)
{
    struct bytes out;
    bytes_init(&out, CONTROL_STATUS_BYTES_MAX);
    struct control_status status = sample_status();
    status.phase = 0;
    assert_int_equal(control_status_encode(&status, &out), STATUS_INVAL);
    status = sample_status();
    status.job[0] = 0;
    assert_int_equal(control_status_encode(&status, &out), STATUS_INVAL);
    status = sample_status();
    status.outcome_text[2] = '\n';
    assert_int_equal(control_status_encode(&status, &out), STATUS_INVAL);
    struct control_member member = sample_member();
    strcpy(member.spiffe_id, "node-007");
    assert_int_equal(control_member_encode(&member, &out), STATUS_INVAL);
    assert_int_equal(control_page_append(&member, &out), STATUS_INVAL);
    struct control_request request = {.page_size = CONTROL_PAGE_MEMBERS_MAX + 1};
    assert_int_equal(control_request_encode(CONTROL_LIST_MEMBERS, &request, &out), STATUS_INVAL);
    assert_int_equal(control_request_encode(CONTROL_GET_MEMBER, &request, &out), STATUS_INVAL);
    assert_int_equal(out.size, 0);
    bytes_deinit(&out);
}

/* Requests as a stranger writes them. */
static void false_requests_are_refused_with_what_was_wrong(void **state)
{
    static const struct {
        enum control_request_kind kind;
        const char *bytes;
        size_t size;
        const char *text;
    } cases[] = {
        {CONTROL_LIST_MEMBERS, "\x10\xe9\x07", 3, "page_size is 1001, at most 1000"},
        {CONTROL_LIST_MEMBERS, "\x1a\x02\xff\xfe", 4, "not UTF-8"},
        {CONTROL_GET_MEMBER, "", 0, "name is empty"},
        {CONTROL_GET_MEMBER,
         "\x12\x03"
         "a\x1b[",
         5, "control characters"},
        {CONTROL_GET_MEMBER,
         "\x12\x03"
         "a\0b",
         5, "not UTF-8 or too long"},
        {CONTROL_JOB_ONLY,
         "\x0a\x05"
         "ab",
         4, "not a GetStatusRequest"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct control_request request;
        struct error err = {0};
        const struct slice input = {(const uint8_t *)cases[i].bytes, cases[i].size};
        assert_int_equal(control_request_decode(cases[i].kind, input, &request, &err), STATUS_PEER);
        if (strstr(err.text, cases[i].text) == nullptr)
            fail_msg("case %zu: %s", i, err.text);
    }
    uint8_t long_job[2 + 65] = {0x0a, 65};
    struct control_request request;
    memset(long_job + 2, 'j', 65);
    assert_int_equal(control_request_decode(CONTROL_JOB_ONLY,
                                            (struct slice){long_job, sizeof(long_job)}, &request,
                                            nullptr),
                     STATUS_PEER);
}

static enum status decode_status(struct slice input)
{
    struct control_status status;
    return control_status_decode(input, &status, nullptr);
}

static enum status decode_member(struct slice input)
{
    struct control_member member;
    return control_member_decode(input, &member, nullptr);
}

static enum status decode_list(struct slice input)
{
    struct control_request request;
    return control_request_decode(CONTROL_LIST_MEMBERS, input, &request, nullptr);
}

static enum status decode_page(struct slice input)
{
    struct control_member member;
    char token[CONTROL_NAME_MAX] = "";
    enum status status = STATUS_OK;
    while (status == STATUS_OK)
        status = control_page_take(&input, &member, token, nullptr);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void cut_and_changed_bytes_are_survived(void **state)
{
    static const struct {
        const char *name;
        enum status (*decode)(struct slice input);
    } cases[] = {{"control_status", decode_status},
                 {"control_member", decode_member},
                 {"control_list", decode_list},
                 {"control_page", decode_page}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bytes golden = golden_read(cases[i].name);
        torture(cases[i].decode, &golden);
        bytes_deinit(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_as_protobuf_writes_them),
        cmocka_unit_test(a_status_is_as_protobuf_writes_it),
        cmocka_unit_test(a_member_is_as_protobuf_writes_it),
        cmocka_unit_test(a_page_is_read_member_by_member),
        cmocka_unit_test(the_largest_messages_fit_their_bounds),
        cmocka_unit_test(what_is_out_of_range_is_neither_written_nor_read),
        cmocka_unit_test(false_requests_are_refused_with_what_was_wrong),
        cmocka_unit_test(cut_and_changed_bytes_are_survived),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
