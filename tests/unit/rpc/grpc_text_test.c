/*
 * grpc_text_test.c - message framing, status texts and timeouts.
 *
 * Expected values are from the gRPC specification (PROTOCOL-HTTP2.md, statuscodes.md,
 * http-grpc-status-mapping.md).
 */
#include "testing.h"

#include "rpc/grpc_frame.h"
#include "rpc/grpc_status.h"

#include <stdlib.h>
#include <string.h>

static void codes_have_the_numbers_of_the_specification(void **state)
{
    assert_int_equal(GRPC_STATUS_COUNT, 17);
    assert_int_equal(GRPC_STATUS_DEADLINE_EXCEEDED, 4);
    assert_int_equal(GRPC_STATUS_RESOURCE_EXHAUSTED, 8);
    assert_int_equal(GRPC_STATUS_UNIMPLEMENTED, 12);
    assert_int_equal(GRPC_STATUS_UNAVAILABLE, 14);
    assert_int_equal(GRPC_STATUS_UNAUTHENTICATED, 16);
    assert_string_equal(grpc_status_name(GRPC_STATUS_DATA_LOSS), "DATA_LOSS");
    assert_string_equal(grpc_status_name((enum grpc_status)99), "UNKNOWN");
    assert_int_equal(grpc_status_parse("0", 1), GRPC_STATUS_OK);
    assert_int_equal(grpc_status_parse("16", 2), GRPC_STATUS_UNAUTHENTICATED);
    assert_int_equal(grpc_status_parse("17", 2), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_parse("", 0), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_parse("-1", 2), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_parse("007", 3), GRPC_STATUS_UNKNOWN);
}

static void http_statuses_map_as_the_table_says(void **state)
{
    assert_int_equal(grpc_status_of_http(400), GRPC_STATUS_INTERNAL);
    assert_int_equal(grpc_status_of_http(401), GRPC_STATUS_UNAUTHENTICATED);
    assert_int_equal(grpc_status_of_http(403), GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of_http(404), GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(grpc_status_of_http(429), GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(503), GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(418), GRPC_STATUS_UNKNOWN);
    assert_int_equal(grpc_status_of_h2_error(7), GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(grpc_status_of_h2_error(8), GRPC_STATUS_CANCELLED);
    assert_int_equal(grpc_status_of_h2_error(11), GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_h2_error(12), GRPC_STATUS_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of_h2_error(1), GRPC_STATUS_INTERNAL);
}

static void every_status_goes_there_and_back_to_a_sensible_one(void **state)
{
    assert_int_equal(grpc_status_of(STATUS_OK), GRPC_STATUS_OK);
    for (int i = 0; i < GRPC_STATUS_COUNT; i++)
        assert_int_equal(grpc_status_to_local((enum grpc_status)i) == STATUS_OK, i == 0);
    assert_int_equal(grpc_status_to_local(grpc_status_of(STATUS_LIMIT)), STATUS_LIMIT);
    assert_int_equal(grpc_status_to_local(grpc_status_of(STATUS_PERMISSION)), STATUS_PERMISSION);
    assert_int_equal(grpc_status_to_local(grpc_status_of(STATUS_NOT_FOUND)), STATUS_NOT_FOUND);
    assert_int_equal(grpc_status_to_local(grpc_status_of(STATUS_TIMEOUT)), STATUS_TIMEOUT);
    assert_int_equal(grpc_status_to_local(grpc_status_of(STATUS_CORRUPT)), STATUS_CORRUPT);
}

static void messages_are_percent_encoded(void **state)
{
    char text[GRPC_MESSAGE_ENCODED_MAX];
    char back[GRPC_MESSAGE_MAX];
    assert_int_equal(grpc_message_encode("100 % \n\xc3\xa9~", text), 18);
    assert_string_equal(text, "100 %25 %0A%C3%A9~");
    grpc_message_decode(text, strlen(text), back, sizeof(back));
    assert_string_equal(back, "100 % \n\xc3\xa9~");
    grpc_message_decode("%", 1, back, sizeof(back));
    assert_string_equal(back, "%");
    grpc_message_decode("%4", 2, back, sizeof(back));
    assert_string_equal(back, "%4");
    grpc_message_decode("%zz%41%00", 9, back, sizeof(back));
    assert_string_equal(back, "%zzA?");
    grpc_message_decode("abcdef", 6, back, 4);
    assert_string_equal(back, "abc");
    char large[2 * GRPC_MESSAGE_MAX];
    memset(large, '\x80', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_int_equal(grpc_message_encode(large, text), 3 * (GRPC_MESSAGE_MAX - 1));
}

static void timeouts_are_read_and_written(void **state)
{
    static const struct {
        const char *text;
        uint64_t timeout_ns;
    } good[] = {
        {"1n", 1},
        {"3u", 3000},
        {"20m", 20000000},
        {"7S", 7000000000},
        {"2M", 120000000000},
        {"1H", 3600000000000},
        {"99999999S", 99999999000000000},
        {"99999999H", UINT64_MAX}, /* 11,415 years: as long as can be */
    };
    static const char *const bad[] = {"", "S", "5", "-1S", "1s", "123456789S", "1 S", "0x1S"};
    uint64_t timeout_ns = 0;
    char text[GRPC_TIMEOUT_TEXT_MAX];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(grpc_timeout_parse(good[i].text, strlen(good[i].text), &timeout_ns),
                         STATUS_OK);
        assert_int_equal(timeout_ns, good[i].timeout_ns);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(grpc_timeout_parse(bad[i], strlen(bad[i]), &timeout_ns), STATUS_PEER);
    grpc_timeout_format(5, text);
    assert_string_equal(text, "5n");
    grpc_timeout_format(1000000000, text);
    assert_string_equal(text, "1000000u");
    grpc_timeout_format(99999999001, text); /* rounded up, never down */
    assert_string_equal(text, "100000m");
    grpc_timeout_format(UINT64_MAX, text);
    assert_int_equal(grpc_timeout_parse(text, strlen(text), &timeout_ns), STATUS_OK);
    for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns = ns * 3 + 1) {
        grpc_timeout_format(ns, text);
        assert_int_equal(grpc_timeout_parse(text, strlen(text), &timeout_ns), STATUS_OK);
        assert_true(timeout_ns >= ns);
        assert_true(timeout_ns - ns <= ns / 1000);
    }
}

/* Three messages of 0, 3 and 300,000 bytes, fed in pieces of every size from 1. */
static void messages_come_out_whole_whatever_the_pieces(void **state)
{
    enum { LARGE = 300000, TOTAL = 3 * GRPC_PREFIX_BYTES + 3 + LARGE };
    uint8_t *const wire = malloc(TOTAL);
    assert_non_null(wire);
    memset(wire, 0x33, TOTAL);
    grpc_frame_prefix(0, wire);
    grpc_frame_prefix(3, wire + 5);
    grpc_frame_prefix(LARGE, wire + 13);
    assert_memory_equal(wire + 13, "\0\0\x04\x93\xe0", 5); /* 300,000 = 0x493e0, big-endian */
    for (size_t piece = 1; piece <= TOTAL; piece = piece < 20 ? piece + 1 : piece * 7) {
        static const size_t want[] = {0, 3, LARGE};
        struct grpc_decoder decoder;
        size_t count = 0;
        grpc_decoder_init(&decoder, LARGE);
        for (size_t at = 0; at < TOTAL;) {
            struct slice input = {wire + at, piece < TOTAL - at ? piece : TOTAL - at};
            struct slice message = {};
            size_t used = 0;
            const enum status status = grpc_decoder_feed(&decoder, input, &used, &message);
            assert_true(status == STATUS_OK || status == STATUS_AGAIN);
            assert_true(used <= input.size && (used > 0 || status == STATUS_OK));
            at += used;
            if (status == STATUS_OK) {
                assert_int_equal(message.size, want[count]);
                count++;
            }
        }
        assert_int_equal(count, 3);
        assert_false(grpc_decoder_is_inside(&decoder));
        grpc_decoder_deinit(&decoder);
    }
    free(wire);
}

static void an_announced_size_allocates_nothing(void **state)
{
    struct grpc_decoder decoder;
    struct slice message = {};
    size_t used = 0;
    grpc_decoder_init(&decoder, 1u << 30);
    assert_int_equal(grpc_decoder_feed(&decoder,
                                       (struct slice){(const uint8_t *)"\0\x40\0\0\0x", 6}, &used,
                                       &message),
                     STATUS_AGAIN);
    assert_true(grpc_decoder_held_bytes(&decoder) <= 256 * 1024);
    assert_true(grpc_decoder_is_inside(&decoder));
    grpc_decoder_deinit(&decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_the_numbers_of_the_specification),
        cmocka_unit_test(http_statuses_map_as_the_table_says),
        cmocka_unit_test(every_status_goes_there_and_back_to_a_sensible_one),
        cmocka_unit_test(messages_are_percent_encoded),
        cmocka_unit_test(timeouts_are_read_and_written),
        cmocka_unit_test(messages_come_out_whole_whatever_the_pieces),
        cmocka_unit_test(an_announced_size_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
