/*
 * trainer_protocol_test.c - the lines between a node and its trainer, without processes.
 */
#include "testing.h"

#include "train/trainer_protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct slice slice_of(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static enum status parse(const char *text, struct trainer_message *ret_message)
{
    *ret_message = (struct trainer_message){.id = 99};
    return trainer_parse(slice_of(text), ret_message, nullptr);
}

static void every_answer_is_read_with_what_it_must_have(void **state)
{
    struct trainer_message message;
    assert_int_equal(parse("{\"type\":\"ready\",\"protocol\":1}", &message), STATUS_OK);
    assert_true(message.kind == TRAINER_READY && message.text[0] == 0 && !message.heartbeats);
    assert_int_equal(parse(" {\"name\":\"a\\\"b\\n\",\"heartbeats\":true,\"protocol\":1,"
                           "\"type\":\"ready\"}\r",
                           &message),
                     STATUS_OK);
    assert_string_equal(message.text, "a\\x22b\\x0a");
    assert_true(message.heartbeats);
    assert_int_equal(parse("{\"type\":\"heartbeat\",\"id\":0}", &message), STATUS_OK);
    assert_true(message.kind == TRAINER_HEARTBEAT && message.id == 0 && message.progress == 0);
    assert_int_equal(
        parse("{\"type\":\"heartbeat\",\"id\":18446744073709551615,\"progress\":1}", &message),
        STATUS_OK);
    assert_true(message.id == UINT64_MAX && message.progress == 1);
    assert_int_equal(
        parse("{\"type\":\"trained\",\"id\":3,\"samples\":1000000000000,\"loss\":-2e3}", &message),
        STATUS_OK);
    assert_true(message.kind == TRAINER_TRAINED && message.samples == TRAINER_SAMPLES_MAX &&
                message.loss == -2000 && !message.has_accuracy && !message.has_holdout);
    assert_int_equal(parse("{\"type\":\"failed\",\"id\":3,\"reason\":[1]}", &message), STATUS_OK);
    assert_true(message.kind == TRAINER_FAILED && message.text[0] == 0);
}

static void a_wrong_figure_still_says_whose_answer_it_is(void **state)
{
    static const char *const lines[] = {
        "{\"type\":\"trained\",\"id\":7,\"samples\":1}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1000000000001,\"loss\":0}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":1e999}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":-Infinity}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":true}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":0,\"accuracy\":NaN}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":0,\"accuracy\":-0.1}",
        "{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":0,\"holdout_accuracy\":1}",
        ("{\"type\":\"trained\",\"id\":7,\"samples\":1,\"loss\":0,\"holdout_accuracy\":1,"
         "\"holdout_samples\":1}"),
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct trainer_message message;
        assert_int_equal(parse(lines[i], &message), STATUS_INVAL);
        assert_true(message.kind == TRAINER_TRAINED && message.id == 7);
    }
}

static void what_is_no_answer_leaves_the_message_alone(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "null",
        "{}",
        "{\"type\":1,\"id\":1}",
        "{\"type\":\"ready\",\"protocol\":1.0}",
        "{\"type\":\"ready\",\"protocol\":\"1\"}",
        "{\"type\":\"ready\",\"protocol\":1,\"heartbeats\":1}",
        "{\"type\":\"heartbeat\",\"id\":-1}",
        "{\"type\":\"heartbeat\",\"id\":1.0}",
        "{\"type\":\"heartbeat\",\"id\":18446744073709551616}",
        "{\"type\":\"heartbeat\",\"id\":1}x",
        "{\"type\":\"heartbeat\",\"id\":1}{}",
        "{\"type\":\"heartbeat\",\"id\":1",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        struct trainer_message message;
        struct error err = {0};
        assert_int_equal(parse(lines[i], &message), STATUS_PEER);
        assert_int_equal(message.id, 99);
        (void)!trainer_parse(slice_of(lines[i]), &message, &err);
        if (strncmp(err.text, "the trainer", 11) != 0)
            fail_msg("%s: %s", lines[i], err.text);
    }
}

static void a_zero_byte_is_no_end_of_a_line(void **state)
{
    static const char line[] = "{\"type\":\"heartbeat\",\"id\":1}\0{}";
    struct trainer_message message;
    const struct slice slice = {(const uint8_t *)line, sizeof(line) - 1};
    assert_int_equal(trainer_parse(slice, &message, nullptr), STATUS_PEER);
}

/* ---- what a node says ---- */

static void expect_line(struct bytes *line, const char *wanted)
{
    assert_int_equal(bytes_append(line, "", 1), STATUS_OK);
    assert_string_equal((const char *)line->data, wanted);
    bytes_deinit(line);
}

static void a_task_is_one_line_with_numbers_as_they_were_configured(void **state)
{
    const struct sgd_settings sgd = {.local_epochs = 3,
                                     .batch_size = 20,
                                     .learning_rate = 0.05f,
                                     .momentum = 0.9f,
                                     .weight_decay = 1e-4f,
                                     .proximal_mu = 0};
    const struct trainer_work work = {.id = UINT64_MAX,
                                      .round = 12,
                                      .seed = UINT32_MAX,
                                      .model = "/a \"b\"\n/m",
                                      .output = "/\xc3\xa9",
                                      .sgd = &sgd};
    struct bytes line;
    bytes_init(&line, 4096);
    assert_int_equal(trainer_encode_work(&work, &line, nullptr), STATUS_OK);
    expect_line(&line, "{\"type\":\"train\",\"id\":18446744073709551615,\"round\":12,"
                       "\"model\":\"/a \\\"b\\\"\\n/m\",\"output\":\"/\xc3\xa9\","
                       "\"seed\":4294967295,\"local_epochs\":3,\"batch_size\":20,"
                       "\"learning_rate\":0.05,\"momentum\":0.9,\"weight_decay\":0.0001,"
                       "\"proximal_mu\":0}\n");
    assert_int_equal(trainer_encode_cancel(7, &line, nullptr), STATUS_OK);
    expect_line(&line, "{\"type\":\"cancel\",\"id\":7}\n");
}

static void a_path_that_is_not_utf8_or_too_long_a_line_is_refused(void **state)
{
    const struct sgd_settings sgd = {0};
    struct trainer_work work = {.model = "/\xff", .output = "/", .sgd = &sgd};
    struct bytes line;
    struct error err = {0};
    bytes_init(&line, 64);
    assert_int_equal(trainer_encode_work(&work, &line, &err), STATUS_INVAL);
    assert_string_equal(err.text, "a path or name for the trainer is not UTF-8");
    work.model = "/";
    assert_int_equal(trainer_encode_work(&work, &line, &err), STATUS_LIMIT);
    assert_int_equal(line.size, 0);
    bytes_deinit(&line);
}

/* ---- lines ---- */

/* Feeds text in pieces of a size, and gives what came out: whole lines, and <beginnings>. */
static void cut(const char *text, size_t piece, size_t capacity, char *ret_seen)
{
    struct trainer_lines lines;
    char *const room = malloc(capacity); /* of its exact size, for the sanitizer */
    size_t used = 0;
    trainer_lines_init(&lines, room, capacity);
    for (size_t at = 0; at < strlen(text);) {
        char *place = nullptr;
        struct slice line;
        size_t size = trainer_lines_room(&lines, &place);
        assert_true(size > 0);
        size = size < piece ? size : piece;
        size = size < strlen(text) - at ? size : strlen(text) - at;
        memcpy(place, text + at, size);
        at += size;
        trainer_lines_fed(&lines, size);
        while (trainer_lines_next(&lines, &line))
            used += (size_t)snprintf(ret_seen + used, 256 - used, "%.*s|", (int)line.size,
                                     (const char *)line.data);
        if (trainer_lines_cut(&lines, &line))
            used += (size_t)snprintf(ret_seen + used, 256 - used, "<%.*s>", (int)line.size,
                                     (const char *)line.data);
    }
    ret_seen[used] = 0;
    free(room);
}

static void lines_are_the_same_whatever_the_pieces_they_come_in(void **state)
{
    char seen[256];
    for (size_t piece = 1; piece <= 40; piece++) {
        cut("a\n\nbcd\n1234567\n12345678\n123456789\nlast\nrest", piece, 9, seen);
        assert_string_equal(seen, "a||bcd|1234567|12345678|<123456789>last|");
        cut("0123456789012345678901234567890\nx\n", piece, 9, seen);
        assert_string_equal(seen, "<012345678>x|");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_is_read_with_what_it_must_have),
        cmocka_unit_test(a_wrong_figure_still_says_whose_answer_it_is),
        cmocka_unit_test(what_is_no_answer_leaves_the_message_alone),
        cmocka_unit_test(a_zero_byte_is_no_end_of_a_line),
        cmocka_unit_test(a_task_is_one_line_with_numbers_as_they_were_configured),
        cmocka_unit_test(a_path_that_is_not_utf8_or_too_long_a_line_is_refused),
        cmocka_unit_test(lines_are_the_same_whatever_the_pieces_they_come_in),
    };
    return cmocka_run_group_tests_name("trainer_protocol", tests, nullptr, nullptr);
}
