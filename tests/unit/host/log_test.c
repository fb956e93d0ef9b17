/*
 * log_test.c - lines of the structured log as they stand in the file.
 */
#include "testing.h"

#include "host/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/fedra-log-XXXXXX";

static struct log *open_log(enum log_level level, enum log_format format)
{
    struct log *log = nullptr;
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(log_open(path, level, format, nullptr, &log), STATUS_OK);
    return log;
}

/* All of the file; the caller frees it. */
static char *content(void)
{
    char *const text = calloc(1, 1 << 20);
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(text, 1, (1 << 20) - 1, file);
    text[size] = 0;
    fclose(file);
    return text;
}

static void expect_line_after_time(const char *expected)
{
    char *const text = content();
    int year, month, day, hour, minute, second, ms;
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &year, &month, &day, &hour,
                            &minute, &second, &ms),
                     7);
    assert_true(year >= 2024);
    assert_string_equal(text + strlen("2026-11-24T09:31:30.123Z"), expected);
    free(text);
}

static void text_line_has_event_and_fields_in_order(void **state)
{
    const struct digest digest = {{0xab}};
    struct log *const log = open_log(LOG_INFO, LOG_FORMAT_TEXT);
    log_event(log, LOG_INFO, "round.aggregated", LOG_U64("round", 12), LOG_I64("skew", -3),
              LOG_F64("loss", 0.25), LOG_BOOL("last", true), LOG_STR("node", "n-1"),
              LOG_STR("why", "no more"), LOG_STR("none", ""), LOG_STATUS(STATUS_NO_SPACE),
              LOG_DIGEST("model", &digest));
    log_close(log);
    expect_line_after_time(
        " info round.aggregated round=12 skew=-3 loss=0.25 last=true node=n-1 "
        "why=\"no more\" none=\"\" status=no_space model=ab0000000000000000000000"
        "0000000000000000000000000000000000000000\n");
}

static void event_without_fields_is_a_line(void **state)
{
    struct log *const log = open_log(LOG_INFO, LOG_FORMAT_TEXT);
    log_event(log, LOG_ERROR, "host.started");
    log_close(log);
    expect_line_after_time(" error host.started\n");
}

static void peer_text_cannot_forge_a_line(void **state)
{
    struct log *const log = open_log(LOG_INFO, LOG_FORMAT_TEXT);
    const uint8_t evil[] = {'a', '\n', '"', 0x1b, 0xff};
    log_event(log, LOG_WARN, "peer.refused",
              LOG_SLICE("node", ((struct slice){evil, sizeof evil})));
    log_close(log);
    expect_line_after_time(" warn peer.refused node=\"a\\x0a\\x22\\x1b\\xff\"\n");
}

static void json_line_is_an_object_with_valid_escapes(void **state)
{
    struct log *const log = open_log(LOG_INFO, LOG_FORMAT_JSON);
    log_event(log, LOG_INFO, "peer.seen", LOG_U64("n", 1), LOG_STR("who", "a\"\\b"),
              LOG_F64("bad", __builtin_nan("")), LOG_BOOL("ok", false));
    log_close(log);
    char *const text = content();
    const char *const rest = strchr(text, 'Z');
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_string_equal(rest, "Z\",\"level\":\"info\",\"event\":\"peer.seen\",\"n\":1,"
                              "\"who\":\"a\\\\x22\\\\x5cb\",\"bad\":\"nan\",\"ok\":false}\n");
    free(text);
}

static void levels_above_the_configured_are_silent(void **state)
{
    int evaluated = 0;
    struct log *const log = open_log(LOG_WARN, LOG_FORMAT_TEXT);
    log_event(log, LOG_INFO, "x.y", LOG_U64("n", (uint64_t)++evaluated));
    log_event(nullptr, LOG_ERROR, "x.y", LOG_U64("n", (uint64_t)++evaluated));
    log_close(log);
    char *const text = content();
    assert_string_equal(text, "");
    assert_int_equal(evaluated, 0);
    free(text);
}

static void long_line_is_cut_between_fields_and_says_so(void **state)
{
    char big[1000];
    memset(big, 'x', sizeof big);
    const struct slice slice = {(const uint8_t *)big, sizeof big};
    for (enum log_format format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
        struct log *const log = open_log(LOG_INFO, format);
        struct log_field fields[40] = {{.key = ""}};
        for (size_t i = 1; i < 40; i++)
            fields[i] = LOG_SLICE("k", slice);
        log_write(log, LOG_INFO, "x.y", fields, 40);
        log_close(log);
        char *const text = content();
        const size_t size = strlen(text);
        const char *const end = format == LOG_FORMAT_TEXT ? " cut=true\n" : ",\"cut\":true}\n";
        assert_true(size <= LOG_LINE_BYTES_MAX);
        assert_true(size > LOG_LINE_BYTES_MAX - 300);
        assert_string_equal(text + size - strlen(end), end);
        assert_non_null(strstr(text, "xxx..."));
        free(text);
    }
}

static void file_that_cannot_be_opened_is_named(void **state)
{
    struct log *log = nullptr;
    struct error err = {0};
    assert_int_equal(log_open("/nonexistent/log", LOG_INFO, LOG_FORMAT_TEXT, &err, &log),
                     STATUS_IO);
    assert_non_null(strstr(err.text, "/nonexistent/log"));
    assert_null(log);
}

static void lines_that_cannot_be_written_are_counted(void **state)
{
    struct log *log = nullptr;
    assert_int_equal(log_open("/dev/full", LOG_INFO, LOG_FORMAT_TEXT, nullptr, &log), STATUS_OK);
    log_event(log, LOG_INFO, "a.b");
    log_event(log, LOG_INFO, "a.b");
    assert_int_equal(log_lines_lost(log), 2);
    log_close(log);
}

static void *write_many(void *log)
{
    for (uint64_t i = 0; i < 500; i++)
        log_event((struct log *)log, LOG_INFO, "thread.event", LOG_U64("i", i),
                  LOG_STR("text", "some words to make the line longer"));
    return nullptr;
}

static void lines_of_threads_stay_whole(void **state)
{
    pthread_t threads[4];
    struct log *const log = open_log(LOG_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], nullptr, write_many, log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], nullptr);
    log_close(log);
    char *const text = content();
    int lines = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1, lines++) {
        assert_memory_equal(line + 24, " info thread.event i=", 21);
        assert_memory_equal(strchr(line, '\n') - 7, "longer\"", 7);
    }
    assert_int_equal(lines, 2000);
    free(text);
}

int main(void)
{
    const int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_line_has_event_and_fields_in_order),
        cmocka_unit_test(event_without_fields_is_a_line),
        cmocka_unit_test(peer_text_cannot_forge_a_line),
        cmocka_unit_test(json_line_is_an_object_with_valid_escapes),
        cmocka_unit_test(levels_above_the_configured_are_silent),
        cmocka_unit_test(long_line_is_cut_between_fields_and_says_so),
        cmocka_unit_test(file_that_cannot_be_opened_is_named),
        cmocka_unit_test(lines_that_cannot_be_written_are_counted),
        cmocka_unit_test(lines_of_threads_stay_whole),
    };
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    unlink(path);
    return failed;
}
