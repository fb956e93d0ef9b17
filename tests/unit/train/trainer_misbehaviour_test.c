/*
 * trainer_misbehaviour_test.c - all that a trainer that is a program can do wrong.
 *
 * Goal: whatever the program does, its task ends in time with the right sentence, and the next task
 * goes well. Method: bad_trainer.py behaves badly once, as a table says, and well from then on.
 */
#include "trainer_world.h"

#include <stdio.h>
#include <string.h>

struct bad_case {
    const char *mode;
    enum status status;
    const char *text; /* %s is the trainer's folder */
    bool restarts;    /* another process does the next task */
    double start_timeout_s;
    double task_timeout_s;
    double heartbeat_s;
    uint64_t memory_bytes;
};

#define ONLY_ANSWERS "; only answers belong on its standard output"
#define WHOLE        "a whole number from 1 to 1000000000000 is wanted"
#define TYPES        "ready, heartbeat, trained or failed is wanted"
#define OUTPUT       "the trainer's output "

/* The process is kept; it is lost; it is lost after a wait. */
#define KEEPS(name, what) {.mode = (name), .status = STATUS_INVAL, .text = (what)}
#define LOSES(name, what, ...)                                                                     \
    {.mode = (name),                                                                               \
     .status = STATUS_PEER,                                                                        \
     .text = (what),                                                                               \
     .restarts = true __VA_OPT__(, ) __VA_ARGS__}
#define SLOW(name, what, patience)                                                                 \
    {.mode = (name), .status = STATUS_TIMEOUT, .text = (what), .restarts = true, patience}

static const struct bad_case bad_cases[] = {
    LOSES("crash_before_ready", "the trainer ended with exit code 3 before it was ready"),
    LOSES(
        "crash_with_words",
        "the trainer ended with exit code 1 before it was ready; the last it said: 'ValueError: no "
        "such \\x22thing\\x22'"),
    SLOW("never_ready", "the trainer was not ready after 3 s (train.start_timeout_s)",
         .start_timeout_s = 3),
    LOSES("wrong_protocol", "the trainer speaks protocol 2, 1 is wanted"),
    LOSES("no_protocol", "the trainer's ready has no protocol, 1 is wanted"),
    LOSES("trained_before_ready",
          "the trainer answered before it was ready, ready is wanted as its first line"),
    LOSES("not_json",
          "the trainer answered a line that is not JSON: 'hello, I'm training'" ONLY_ANSWERS),
    LOSES("not_object", "the trainer answered a line that is no JSON object: '[1]'" ONLY_ANSWERS),
    LOSES("not_utf8", "the trainer answered a line that is not JSON: "
                      "'{\\x22type\\x22:\\x22tr\\xff\\x22}'" ONLY_ANSWERS),
    LOSES("deep_json",
          "the trainer answered a line that is not JSON: "
          "'[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[..."
          "'" ONLY_ANSWERS),
    LOSES("no_type", "the trainer's answer has no type: '{\\x22id\\x22:1}'; " TYPES),
    LOSES("unknown_type", "the trainer's answer has the type pause; " TYPES),
    LOSES("no_id", "the trainer's heartbeat has no id, that of its task is wanted"),
    LOSES("id_text", "the trainer's heartbeat has the id 1, that of its task is wanted"),
    LOSES("ready_twice", "the trainer said ready twice"),
    LOSES("huge_line", "the trainer answered a line of more than 65536 bytes, which begins with "
                       "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"),
    LOSES("wrong_id", "the trainer answered the task 2, but was given 1"),
    KEEPS("failed", "the trainer failed: no samples\\x0aof this node"),
    KEEPS("failed_without_reason", "the trainer failed: it gave no reason"),
    SLOW("hang", "the trainer took more than 1 s (train.task_timeout_s) to train round 7",
         .task_timeout_s = 1),
    SLOW("silent", "the trainer said nothing for 1 s (train.heartbeat_s) while it trained round 7",
         .heartbeat_s = 1),
    SLOW("heartbeats_for_ever",
         "the trainer took more than 1 s (train.task_timeout_s) to train round 7",
         .task_timeout_s = 1),
    LOSES("bad_progress", "the trainer's progress is 1.5, a number from 0 to 1 is wanted"),
    LOSES("closes_output", "the trainer closed its standard output while it trained round 7"),
    LOSES("closes_all", "the trainer closed its standard output while it trained round 7"),
    LOSES("killed", "the trainer was killed by signal 9 (out of memory?) while it trained round 7"),
    LOSES("aborted", "the trainer was killed by signal 6 (Aborted) while it trained round 7"),
    LOSES("exit_0", "the trainer ended with exit code 0 while it trained round 7"),
    LOSES("exit_3", "the trainer ended with exit code 3 while it trained round 7"),
    LOSES("memory",
          "the trainer ended with exit code 1 while it trained round 7; the last it said: "
          "'MemoryError'",
          .memory_bytes = 1ULL << 30),
    KEEPS("no_output", "the trainer wrote no output, %s/scratch/trained-1.safetensors is missing"),
    KEEPS("fifo_output", OUTPUT "%s/scratch/trained-1.safetensors is no regular file"),
    KEEPS("folder_output", OUTPUT "%s/scratch/trained-1.safetensors is no regular file"),
    KEEPS("link_output", OUTPUT "%s/scratch/trained-1.safetensors is no regular file"),
    KEEPS("empty_output",
          OUTPUT "is no good safetensors file: 0 bytes are too few for a safetensors file"),
    KEEPS("large_output", OUTPUT "has 100000000 bytes, at most 33554512 are wanted for this model"),
    KEEPS("truncated_output",
          OUTPUT "is no good safetensors file: tensor fc.weight: its data end at byte 40, but the "
                 "file has only 39"),
    KEEPS("extra_tensor", OUTPUT "has a tensor zeta, which the model has not"),
    KEEPS("missing_tensor", OUTPUT "has no tensor fc.weight"),
    KEEPS("wrong_shape", OUTPUT "has the tensor fc.weight in the shape [3, 2], [2, 3] is wanted"),
    KEEPS("wrong_dtype", OUTPUT "has the tensor fc.weight as F64, F32 is wanted"),
    KEEPS("nan", OUTPUT "has NaN in fc.bias[2], did training diverge?"),
    KEEPS("infinity", OUTPUT "has infinity in fc.bias[1], did training diverge?"),
    KEEPS("samples_0", "the trainer's samples is 0, " WHOLE),
    KEEPS("samples_negative", "the trainer's samples is -5, " WHOLE),
    KEEPS("samples_huge", "the trainer's samples is 1000000000000000, " WHOLE),
    KEEPS("samples_float", "the trainer's samples is 3.0, " WHOLE),
    KEEPS("samples_missing", "the trainer's answer has no samples, " WHOLE),
    KEEPS("loss_nan", "the trainer's loss is NaN, a finite number is wanted"),
    KEEPS("loss_text", "the trainer's loss is low, a finite number is wanted"),
    KEEPS("accuracy_2", "the trainer's accuracy is 2, a number from 0 to 1 is wanted"),
    KEEPS("holdout_half", "the trainer's answer has no holdout_samples, " WHOLE),
    KEEPS("holdout_samples_0", "the trainer's holdout_samples is 0, " WHOLE),
};

static void run_bad_case(const struct bad_case *bad)
{
    struct world *const world = world_create(bad->mode);
    struct trainer_result result = {0};
    struct error err = {0};
    char wanted[1024];
    char found[ERROR_TEXT_MAX];
    float delta[WORLD_PARAMETERS];
    struct trainer_external_options *const options = &world->options.external;
    options->limits.memory_bytes = bad->memory_bytes;
    if (bad->start_timeout_s > 0)
        options->start_timeout_s = bad->start_timeout_s;
    if (bad->task_timeout_s > 0)
        options->task_timeout_s = bad->task_timeout_s;
    if (bad->heartbeat_s > 0)
        options->heartbeat_s = bad->heartbeat_s;
    const uint64_t begun = world_now_ms();
    world_open(world);
    const enum status status = world_train(world, &result, delta, &err);
    snprintf(found, sizeof(found), "%s", err.text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(wanted, sizeof(wanted), bad->text, options->folder);
#pragma GCC diagnostic pop
    if (status != bad->status || strcmp(found, wanted) != 0)
        fail_msg("%s: %s: %s", bad->mode, status_name(status), found);
    world_train_well(world);
    if (world_count_lives(world) != 1 + (uint32_t)bad->restarts)
        fail_msg("%s: there were %u processes", bad->mode, world_count_lives(world));
    assert_null(world_find_note(world, TRAINER_NOTE_TROUBLE, "", 0));
    world_destroy(world);
    if (world_now_ms() - begun > WORLD_PATIENCE_MS)
        fail_msg("%s took %llu ms", bad->mode, (unsigned long long)(world_now_ms() - begun));
}

static void each_way_to_misbehave_has_its_sentence_and_the_next_task_goes_well(void **state)
{
    for (size_t i = 0; i < sizeof(bad_cases) / sizeof(*bad_cases); i++)
        run_bad_case(&bad_cases[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_to_misbehave_has_its_sentence_and_the_next_task_goes_well),
    };
    if (!world_setup(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("trainer_misbehaviour", tests, nullptr, world_teardown);
}
