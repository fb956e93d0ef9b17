/*
 * control_text_test.c - statuses and members as people read them, and the same as JSON.
 */
#include "testing.h"

#include "cli/control_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#define NODE "spiffe://fedra.local/fedra/node/node-007"

static struct control_status sample_status(void)
{
    struct control_status status = {
        .job = "fashion",
        .coordinator = "spiffe://fedra.local/fedra/coordinator",
        .phase = CONTROL_PHASE_COLLECTING,
        .epoch = 3,
        .round = 12,
        .rounds_max = 100,
        .selected = 10,
        .k = 9,
        .accepted = 8,
        .late = 1,
        .deadline_ms = 41200,
        .members = 12,
        .connected = 11,
        .version_number = 11,
        .last = {11, 10, 9, 2, 420, true, true, 0.51234, 0.8342},
        .best = {10, 10, 10, 0, 1500, true, false, 0.5, 0},
        .uptime_ms = 131900,
        .bytes_in = 12345678,
        .bytes_out = 999,
        .sequence = 77,
    };
    memset(status.version_id.bytes, 0xab, DIGEST_BYTES);
    memset(status.model_digest.bytes, 0xcd, DIGEST_BYTES);
    status.refusals.by_reason[REASON_IDENTITY] = 2;
    status.refusals.by_reason[REASON_NORM] = 1;
    return status;
}

static struct control_member sample_member(void)
{
    struct control_member member = {
        .spiffe_id = NODE,
        .state = CONTROL_MEMBER_ACCEPTED,
        .connected = true,
        .since_unix_ms = 1000000000,
        .round_counted = 11,
        .counted = 10,
        .samples = 600,
        .loss = 0.25,
        .certificate_ends_unix_s = 1000000 + 7262,
        .reputation = 0.81,
        .rounds = 11,
        .flagged = 2,
        .flagged_round = 9,
        .flag_reason = SUSPECTED_COLLUSION,
        .flag_score = 2.5,
        .quarantined_until = 30,
    };
    member.dropped.by_reason[REASON_ROUND_CLOSED] = 1;
    member.refused.by_reason[REASON_NORM] = 2;
    member.refused.by_reason[REASON_DIGEST] = 3;
    return member;
}

/* What a writer writes; the caller frees it. */
static char *written(void (*write)(FILE *file))
{
    char *text = nullptr;
    size_t size = 0;
    FILE *const file = open_memstream(&text, &size);
    write(file);
    fclose(file);
    return text;
}

static struct control_status shown;

static void write_shown(FILE *file)
{
    control_status_write(&shown, "127.0.0.1:4711", file);
}

static void write_shown_line(FILE *file)
{
    control_status_write_line(&shown, file);
}

static void assert_written(void (*write)(FILE *file), const char *expected)
{
    char *const text = written(write);
    assert_string_equal(text, expected);
    free(text);
}

static void durations_and_sizes_have_two_figures(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } durations[] = {{0, "0 s"},           {59, "59 s"},          {60, "1 m 00 s"},
                     {131, "2 m 11 s"},    {3599, "59 m 59 s"},   {3600, "1 h 00 m"},
                     {86400, "24 h 00 m"}, {172799, "47 h 59 m"}, {183600, "2 d 03 h"}};
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 kB"},
                 {12345678, "12.3 MB"},
                 {999949999, "999.9 MB"},
                 {999950000, "1.0 GB"},
                 {UINT64_MAX, "18.4 EB"}};
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
        char text[DURATION_TEXT_MAX];
        duration_text(durations[i].seconds, text);
        assert_string_equal(text, durations[i].text);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char text[SIZE_TEXT_MAX];
        size_text(sizes[i].bytes, text);
        assert_string_equal(text, sizes[i].text);
    }
}

static void members_are_called_by_what_tells_them_apart(void **state)
{
    assert_string_equal(member_name(NODE), "node-007");
    assert_string_equal(member_name("spiffe://a/fedra/edge/north"), "edge/north");
    assert_string_equal(member_name("spiffe://a/other/node/x"), "spiffe://a/other/node/x");
    assert_string_equal(member_name("spiffe://a"), "spiffe://a");
}

static void a_status_is_a_dozen_aligned_lines(void **state)
{
    shown = sample_status();
    assert_written(write_shown,
                   "job          fashion\n"
                   "coordinator  spiffe://fedra.local/fedra/coordinator at 127.0.0.1:4711\n"
                   "runs         for 2 m 11 s, epoch 3\n"
                   "state        round 12 of 100 is open, 42 s left\n"
                   "updates      8 of 10 asked are in, 9 close the round, 1 came late\n"
                   "members      11 connected, 12 known\n"
                   "version      11, model cdcdcdcdcdcdcdcd...\n"
                   "last round   11: 9 updates of 10 asked, 2 late, loss 0.5123, accuracy 0.8342, "
                   "0.42 s\n"
                   "best round   10: 10 updates of 10 asked, loss 0.5000, 1.50 s\n"
                   "traffic      12.3 MB in, 999 B out\n"
                   "refused      identity 2, norm 1\n");
    shown = (struct control_status){.job = "new",
                                    .coordinator = "spiffe://a/fedra/coordinator",
                                    .phase = CONTROL_PHASE_GATHERING,
                                    .connected = 3,
                                    .members = 3,
                                    .members_wanted = 10,
                                    .deadline_ms = 60000};
    assert_written(write_shown, "job          new\n"
                                "coordinator  spiffe://a/fedra/coordinator at 127.0.0.1:4711\n"
                                "runs         for 0 s, epoch 0\n"
                                "state        waits for members: 3 of 10 are connected, 1 m 00 s "
                                "left\n"
                                "updates      no round is open\n"
                                "members      3 connected, 3 known\n"
                                "version      none\n"
                                "last round   none\n"
                                "best round   none\n"
                                "traffic      0 B in, 0 B out\n"
                                "refused      nothing\n");
}

/* Every phase says what happens, on one line. */
static void each_phase_has_its_words(void **state)
{
    static const struct {
        enum control_phase phase;
        bool paused;
        uint32_t attempt;
        const char *text;
    } cases[] = {
        {CONTROL_PHASE_STARTING, false, 0, "starts; "},
        {CONTROL_PHASE_COLLECTING, true, 0,
         "round 12 of 100 is open, 42 s left, then pauses; 8 of 10 updates, 9 close it; "},
        {CONTROL_PHASE_COLLECTING, false, 2,
         "round 12 of 100 is open, attempt 3, 42 s left; 8 of 10 updates, 9 close it; "},
        {CONTROL_PHASE_CLOSING, false, 0, "round 12 of 100 is being aggregated; 8 of 10 updates"},
        {CONTROL_PHASE_VALIDATING, false, 0, "round 12 of 100 is being validated; "},
        {CONTROL_PHASE_COMMITTING, true, 0, "round 12 of 100 is being made durable, then pauses; "},
        {CONTROL_PHASE_PAUSED, true, 0, "paused before round 12 of 100; 11 connected; "},
        {CONTROL_PHASE_RESTORING, false, 0,
         "round 12 of 100 diverged, the best version is being restored; "},
        {CONTROL_PHASE_ENDING, false, 0, "ends; "},
        {CONTROL_PHASE_ENDED, true, 0, "exhausted: max_rounds was reached; "},
        {CONTROL_PHASE_FAILED, false, 0, "stops for a local fault, its log says which; "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        shown = sample_status();
        shown.phase = cases[i].phase;
        shown.paused = cases[i].paused;
        shown.attempt = cases[i].attempt;
        shown.outcome = WIRE_OUTCOME_EXHAUSTED;
        strcpy(shown.outcome_text, "max_rounds was reached");
        char *const text = written(write_shown_line);
        assert_int_equal(strncmp(text, cases[i].text, strlen(cases[i].text)), 0);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_non_null(strstr(text, "11 connected; version 11, loss 0.5123, accuracy 0.8342\n"));
        free(text);
    }
}

static void write_member(FILE *file)
{
    const struct control_member member = sample_member();
    control_member_write(&member, 1000062000, file);
}

static void write_rows(FILE *file)
{
    struct control_member member = sample_member();
    control_members_write_head(10, file);
    control_member_write_row(&member, 10, 1000062000, file);
    member = (struct control_member){.spiffe_id = "spiffe://a/fedra/edge/north",
                                     .state = CONTROL_MEMBER_AWAY,
                                     .certificate_ends_unix_s = 1000062};
    control_member_write_row(&member, 10, 1000062000, file);
}

static void a_member_is_shown_whole_or_as_a_row(void **state)
{
    assert_written(write_member, "member       " NODE "\n"
                                 "state        accepted, connected for 1 m 02 s\n"
                                 "counted      10, the last update of round 11\n"
                                 "dropped      round_closed 1\n"
                                 "refused      digest 3, norm 2\n"
                                 "last update  600 samples, loss 0.2500\n"
                                 "certificate  ends in 2 h 00 m\n"
                                 "reputation   0.810, flagged in 2 of 11 rounds\n"
                                 "last flag    collusion, score 2.5, in round 9\n"
                                 "quarantine   suggested until round 30\n");
    assert_written(write_rows,
                   "NAME        STATE     SINCE       ROUND  COUNTED  DROPPED  REFUSED   SAMPLES"
                   "       LOSS  CERTIFICATE\n"
                   "node-007    accepted  1 m 02 s       11       10        1        5       600"
                   "     0.2500  2 h 00 m\n"
                   "edge/north  away      -               -        0        0        0         -"
                   "          -  expired\n");
}

static void write_json(FILE *file)
{
    assert_int_equal(control_status_write_json(&shown, file), STATUS_OK);
}

static void write_member_json(FILE *file)
{
    const struct control_member member = sample_member();
    assert_int_equal(control_member_write_json(&member, file), STATUS_OK);
}

static void json_says_the_same(void **state)
{
    shown = sample_status();
    shown.last.loss = NAN; /* which JSON does not have */
    char *text = written(write_json);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_obj_size(root), 28); /* every field of fedra.v1.Status */
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "phase")), "collecting");
    assert_true(yyjson_is_null(yyjson_obj_get(root, "outcome")));
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(root, "k")), 9);
    yyjson_val *const last = yyjson_obj_get(root, "last");
    assert_true(yyjson_is_null(yyjson_obj_get(last, "loss")));
    assert_true(yyjson_get_real(yyjson_obj_get(last, "accuracy")) == 0.8342);
    assert_true(yyjson_is_null(yyjson_obj_get(yyjson_obj_get(root, "best"), "accuracy")));
    yyjson_val *const refusals = yyjson_obj_get(root, "refusals");
    assert_int_equal(yyjson_obj_size(refusals), 2);
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(refusals, "identity")), 2);
    yyjson_doc_free(doc);
    free(text);
    text = written(write_member_json);
    doc = yyjson_read(text, strlen(text), 0);
    root = yyjson_doc_get_root(doc);
    assert_int_equal(yyjson_obj_size(root), 18); /* every field of fedra.v1.Member */
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "state")), "accepted");
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(root, "refused"), "digest")), 3);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "flag_reason")), "collusion");
    assert_true(yyjson_get_real(yyjson_obj_get(root, "reputation")) == 0.81);
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(root, "quarantined_until")), 30);
    yyjson_doc_free(doc);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_and_sizes_have_two_figures),
        cmocka_unit_test(members_are_called_by_what_tells_them_apart),
        cmocka_unit_test(a_status_is_a_dozen_aligned_lines),
        cmocka_unit_test(each_phase_has_its_words),
        cmocka_unit_test(a_member_is_shown_whole_or_as_a_row),
        cmocka_unit_test(json_says_the_same),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
