/*
 * trainer_external_test.c - a trainer that is a program: what it is told, what it may do, how it is
 * cancelled and ended, and that nothing of it is left behind.
 *
 * The test is its own keeper: with "keep" as first argument it becomes one. What a program does
 * wrong: trainer_misbehaviour_test.c.
 */
#include "trainer_world.h"

#include "tensor/safetensors.h"
#include "train/trainer_files.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONLY_ANSWERS "; only answers belong on its standard output"

static bool lives(pid_t pid)
{
    return kill(pid, 0) == 0 || errno == EPERM;
}

/* The number behind the place-th "WORD NUMBER" that the trainer said. */
static pid_t said_pid(struct world *world, const char *word, uint32_t place)
{
    const char *const note = world_find_note(world, TRAINER_NOTE_SAID, word, place);
    assert_non_null(note);
    return (pid_t)strtol(note + strlen(word), nullptr, 10);
}

/* A task in another thread. */
struct running {
    struct world *world;
    pthread_t thread;
    enum status status;
    atomic_bool done;
};

static void *run_train(void *context)
{
    struct running *const running = context;
    struct trainer_result result = {0};
    float delta[WORLD_PARAMETERS];
    running->status = world_train(running->world, &result, delta, nullptr);
    atomic_store(&running->done, true);
    return nullptr;
}

/* ---- what a program may do ---- */

static void a_program_that_is_not_there_is_named_by_the_shell(void **state)
{
    struct world *const world = world_create("good");
    struct trainer_result result;
    struct error err = {0};
    float delta[WORLD_PARAMETERS];
    snprintf(world->command, sizeof(world->command), "/nonexistent/trainer --fast");
    world_open(world);
    assert_int_equal(world_train(world, &result, delta, &err), STATUS_PEER);
    assert_string_equal(err.text, "the trainer ended with exit code 127 before it was ready; the "
                                  "last it said: 'sh: 1: /nonexistent/trainer: not found'");
    world_destroy(world);
}

static void one_process_does_many_tasks_and_keeps_nothing_on_disk(void **state)
{
    struct world *const world = world_create("good");
    char scratch[128];
    struct stat stat_of;
    world_open(world);
    snprintf(scratch, sizeof(scratch), "%s/scratch", world->options.external.folder);
    for (int i = 0; i < 5; i++) {
        world_train_well(world);
        assert_int_equal(rmdir(scratch), 0); /* it is empty */
        assert_int_equal(mkdir(scratch, 0700), 0);
    }
    assert_int_equal(stat(world->options.external.folder, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
    assert_int_equal(world_count_lives(world), 1);
    assert_string_equal(world_find_note(world, TRAINER_NOTE_READY, "", 0), "bad good");
    world_destroy(world);
}

static void a_program_is_told_who_it_is_and_where_its_samples_are(void **state)
{
    static const uint32_t indices[] = {3, 5, 70000};
    struct world *const world = world_create("says_hello");
    char wanted[1024];
    char text[64] = "";
    world->options.external.indices = indices;
    world->options.external.index_count = 3;
    world->options.external.holdout = 0.1;
    world->options.external.data = "/some where/data";
    world->options.external.limits = (struct trainer_limits){.cpus = 1, .cpu_first = 7, .nice = 3};
    unsetenv("OMP_NUM_THREADS");
    unsetenv("PYTHONUNBUFFERED");
    const int niceness = nice(0);
    world_open(world);
    world_train_well(world);
    const char *const folder = world->options.external.folder;
    snprintf(wanted, sizeof(wanted),
             "{\"type\": \"hello\", \"protocol\": 1, \"job\": \"job\", \"node\": \"node-001\", "
             "\"part\": 1, \"parts\": 3, \"seed\": 42, \"holdout\": 0.1, \"heartbeat_s\": 30.0, "
             "\"scratch\": \"%s/scratch\", \"data\": \"/some where/data\", "
             "\"indices\": \"%s/indices.txt\", \"tensors\": "
             "[{\"name\": \"fc.bias\", \"dtype\": \"F32\", \"shape\": [4]}, "
             "{\"name\": \"fc.weight\", \"dtype\": \"F32\", \"shape\": [2, 3]}]}",
             folder, folder);
    assert_string_equal(world_find_note(world, TRAINER_NOTE_SAID, "{", 0), wanted);
    static const char *const variables[] = {"FEDRA_DATA=/some where/data",
                                            "FEDRA_JOB=job",
                                            "FEDRA_NODE=node-001",
                                            "FEDRA_PART=1",
                                            "FEDRA_PARTS=3",
                                            "FEDRA_PROTOCOL=1",
                                            "FEDRA_SEED=42",
                                            "OMP_NUM_THREADS=1",
                                            "PYTHONUNBUFFERED=1"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
        assert_non_null(world_find_note(world, TRAINER_NOTE_SAID, variables[i], 0));
    snprintf(wanted, sizeof(wanted), "cpus 1 nice %d", niceness + 3 < 19 ? niceness + 3 : 19);
    assert_string_equal(world_find_note(world, TRAINER_NOTE_SAID, "cpus", 0), wanted);
    snprintf(wanted, sizeof(wanted), "%s/indices.txt", folder);
    FILE *const file = fopen(wanted, "re");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, file), 10);
    fclose(file);
    assert_string_equal(text, "3\n5\n70000\n");
    world_destroy(world);
}

static void seeds_and_settings_of_a_task_depend_on_node_and_round_only(void **state)
{
    char seeds[3][64];
    for (int i = 0; i < 3; i++) {
        struct world *const world = world_create("knows_seed");
        if (i == 2)
            world->options.node = trainer_node_key("b");
        world_open(world);
        world_train_well(world);
        world_train_well(world);
        snprintf(seeds[i], sizeof(seeds[i]), "%s",
                 world_find_note(world, TRAINER_NOTE_SAID, "seed ", 0));
        assert_string_not_equal(seeds[i], world_find_note(world, TRAINER_NOTE_SAID, "seed ", 1));
        world_destroy(world);
    }
    assert_string_equal(seeds[0], seeds[1]);
    assert_string_not_equal(seeds[0], seeds[2]);
    assert_non_null(strstr(seeds[0], " rate 0.1")); /* as configured, not 0.10000000149011612 */
}

static void figures_of_the_received_model_are_passed_on(void **state)
{
    struct world *const world = world_create("holdout");
    struct trainer_result result = {0};
    float delta[WORLD_PARAMETERS];
    world_open(world);
    assert_int_equal(world_train(world, &result, delta, nullptr), STATUS_OK);
    assert_true(result.received_evaluated && result.received.samples == 3 &&
                result.received.loss == 1.5 && result.received.accuracy == 0.75);
    world_destroy(world);
}

struct steps {
    uint32_t calls;
    uint64_t last;
};

static void on_progress(void *context, uint64_t steps, uint64_t steps_total)
{
    struct steps *const seen = context;
    assert_int_equal(steps_total, 1000);
    assert_true(seen->calls == 0 || steps > seen->last);
    seen->calls++;
    seen->last = steps;
}

/* A task of 0.8 s with a line every 0.1 s outlives a patience of 0.7 s. */
static void heartbeats_keep_a_long_task_alive_and_tell_its_progress(void **state)
{
    struct world *const world = world_create("slow_with_heartbeats");
    struct trainer_result result = {0};
    struct error err = {0};
    struct steps steps = {0};
    float delta[WORLD_PARAMETERS];
    world->options.external.heartbeat_s = 0.7;
    world_open(world);
    const struct trainer_task task = {.serial = 1,
                                      .base = world_base,
                                      .parameters = WORLD_PARAMETERS,
                                      .progress = on_progress,
                                      .progress_context = &steps};
    if (trainer_external.train(world->trainer, &task, delta, &result, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(steps.calls, 8);
    assert_int_equal(steps.last, 875);
    world_destroy(world);
}

static void a_gigabyte_on_standard_error_is_read_and_cut_short(void **state)
{
    struct world *const world = world_create("flood");
    world->options.external.task_timeout_s = 300; /* under a sanitizer, on a busy machine */
    world_open(world);
    world_train_well(world);
    assert_non_null(world_find_note(world, TRAINER_NOTE_SAID, "all work and no play", 20));
    assert_true(world->notes.count < NOTES_MAX);
    assert_non_null(world_find_note(world, TRAINER_NOTE_SAID, "(", 0));
    world_destroy(world);
}

/* Both are numbers, their difference is none. */
static void a_step_over_the_range_of_f32_is_refused(void **state)
{
    char folder[] = "/tmp/fedra-trainer-XXXXXX";
    char path[64];
    float from[WORLD_PARAMETERS] = {[WORLD_PARAMETERS - 1] = -3e38f};
    const float trained[WORLD_PARAMETERS] = {[WORLD_PARAMETERS - 1] = 3e38f};
    float delta[WORLD_PARAMETERS];
    struct error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/trained", folder);
    assert_int_equal(safetensors_write_file(path, world_layout, nullptr, 0, trained, nullptr),
                     STATUS_OK);
    assert_int_equal(trainer_output_read(path, world_layout, from, delta, &err), STATUS_INVAL);
    assert_string_equal(err.text, "the trainer's output has a value far too large in "
                                  "fc.weight[5], did training diverge?");
    from[WORLD_PARAMETERS - 1] = 1e38f;
    assert_int_equal(trainer_output_read(path, world_layout, from, delta, &err), STATUS_OK);
    assert_int_equal(trainer_folder_empty(folder, nullptr), STATUS_OK);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- between two tasks ---- */

static void a_process_that_ended_between_two_tasks_is_replaced_without_a_failure(void **state)
{
    struct world *const world = world_create("dies_between");
    world_open(world);
    world_train_well(world);
    world_train_well(world); /* at once: it may still be about to end */
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 2);
    world_expect_trouble(
        world, "the trainer ended with exit code 6 between two tasks; it is started again");
    world_destroy(world);
}

static void an_answer_that_comes_twice_is_ignored(void **state)
{
    struct world *const world = world_create("answers_twice");
    world_open(world);
    world_train_well(world);
    world_train_well(world);
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 1);
    world_destroy(world);
}

/* Also where its figures are wrong: they are nobody's. */
static void an_answer_to_the_task_before_is_ignored_and_noted(void **state)
{
    struct world *const world = world_create("old_answer");
    world_open(world);
    world_train_well(world);
    world_train_well(world);
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 1);
    world_expect_trouble(world,
                         "the trainer answered the task 1 twice or too late; that is ignored");
    world_destroy(world);
}

static void what_is_said_between_two_tasks_and_is_no_answer_costs_the_process(void **state)
{
    struct world *const world = world_create("garbage_between");
    struct trainer_result result = {0};
    struct error err = {0};
    float delta[WORLD_PARAMETERS];
    world_open(world);
    world_train_well(world);
    /* Seen before the task is sent, or while it is under way. */
    const enum status status = world_train(world, &result, delta, &err);
    assert_true(status == STATUS_OK || status == STATUS_PEER);
    if (status == STATUS_PEER)
        assert_string_equal(err.text, "the trainer answered a line that is not JSON: "
                                      "'bye'" ONLY_ANSWERS);
    else
        world_expect_trouble(world, "the trainer answered a line that is not JSON: "
                                    "'bye'" ONLY_ANSWERS "; it is started again");
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 2);
    world_destroy(world);
}

/* The first start in vain is followed by another at once, then the waits are 1 s and 2 s. */
static void starts_in_vain_are_spaced_out_and_the_wait_can_be_cancelled(void **state)
{
    struct world *const world = world_create("good");
    struct trainer_result result = {0};
    struct error err = {0};
    float delta[WORLD_PARAMETERS];
    snprintf(world->command, sizeof(world->command), "exit 3");
    world_open(world);
    const uint64_t begun = world_now_ms();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(world_train(world, &result, delta, &err), STATUS_PEER);
        assert_string_equal(err.text, "the trainer ended with exit code 3 before it was ready");
    }
    assert_true(world_now_ms() - begun >= 3000);
    struct running running = {.world = world};
    assert_int_equal(pthread_create(&running.thread, nullptr, run_train, &running), 0);
    trainer_external.cancel(world->trainer, 5);
    assert_int_equal(pthread_join(running.thread, nullptr), 0);
    assert_int_equal(running.status, STATUS_CANCELLED);
    assert_true(world_now_ms() - begun < WORLD_PATIENCE_MS);
    world_destroy(world);
}

/* ---- processes left behind ---- */

static void what_a_trainer_leaves_behind_is_killed_with_it(void **state)
{
    static const char *const modes[] = {"child_holds_pipe", "daemon"};
    for (int i = 0; i < 2; i++) {
        struct world *const world = world_create(modes[i]);
        struct trainer_result result = {0};
        struct error err = {0};
        float delta[WORLD_PARAMETERS];
        char wanted[128];
        world_open(world);
        assert_int_equal(world_train(world, &result, delta, &err), STATUS_PEER);
        const pid_t child = said_pid(world, "child", 0);
        snprintf(wanted, sizeof(wanted),
                 "the trainer ended with exit code %d while it trained round 7; the last it said: "
                 "'child %d'",
                 4 + i, child);
        assert_string_equal(err.text, wanted);
        assert_false(lives(child));
        world_train_well(world);
        world_destroy(world);
    }
}

static void a_trainer_that_does_not_end_is_ended(void **state)
{
    struct world *const world = world_create("never_ends");
    world->options.external.end_grace_s = 0.5;
    world_open(world);
    world_train_well(world);
    const uint64_t begun = world_now_ms();
    trainer_external.close(world->trainer);
    assert_true(world_now_ms() - begun < 10000);
    world_expect_trouble(world,
                         "the trainer did not end when its standard input was closed; it is ended");
    world->trainer = nullptr;
    world_open(world);
    world_destroy(world);
}

/* ---- cancel ---- */

/* Starts a task in another thread, and cancels it when its process has begun with it. */
static enum status train_and_cancel(struct world *world, uint64_t cancelled)
{
    struct running running = {.world = world};
    const uint64_t begun = world_now_ms();
    assert_int_equal(pthread_create(&running.thread, nullptr, run_train, &running), 0);
    while (world_find_note(world, TRAINER_NOTE_SAID, "begun", 0) == nullptr) {
        assert_true(world_now_ms() - begun < WORLD_PATIENCE_MS);
        usleep(1000);
    }
    assert_false(atomic_load(&running.done));
    trainer_external.cancel(world->trainer, cancelled);
    assert_int_equal(pthread_join(running.thread, nullptr), 0);
    return running.status;
}

static void a_task_is_cancelled_by_a_line_and_the_process_lives(void **state)
{
    struct world *const world = world_create("obeys_cancel");
    world_open(world);
    assert_int_equal(train_and_cancel(world, 1), STATUS_CANCELLED);
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 1);
    assert_null(world_find_note(world, TRAINER_NOTE_TROUBLE, "", 0));
    world_destroy(world);
}

static void a_trainer_may_die_of_a_cancel(void **state)
{
    static const char *const modes[] = {"dies_of_cancel", "garbage_at_cancel"};
    for (int i = 0; i < 2; i++) {
        struct world *const world = world_create(modes[i]);
        world_open(world);
        assert_int_equal(train_and_cancel(world, 1), STATUS_CANCELLED);
        world_train_well(world);
        assert_int_equal(world_count_lives(world), 2);
        assert_null(world_find_note(world, TRAINER_NOTE_TROUBLE, "", 0));
        world_destroy(world);
    }
}

static void who_goes_on_after_a_cancel_is_ended_after_its_grace(void **state)
{
    static const char *const modes[] = {"ignores_cancel", "ignores_term"};
    for (int i = 0; i < 2; i++) {
        struct world *const world = world_create(modes[i]);
        world->options.external.cancel_grace_s = 0.5;
        world_open(world);
        assert_int_equal(train_and_cancel(world, 1), STATUS_CANCELLED);
        world_train_well(world);
        assert_int_equal(world_count_lives(world), 2);
        world_expect_trouble(world, "the trainer went on for 0.5 s after it was told to cancel "
                                    "(train.cancel_grace_s); it is ended");
        world_destroy(world);
    }
}

static void an_answer_to_a_cancelled_task_that_comes_late_is_ignored(void **state)
{
    struct world *const world = world_create("late_answer");
    world_open(world);
    assert_int_equal(train_and_cancel(world, 1), STATUS_CANCELLED);
    world_train_well(world);
    world_train_well(world);
    assert_int_equal(world_count_lives(world), 1);
    world_destroy(world);
}

/* Its grace is 30 s here: that the process ends the test in time shows that none is given. */
static void at_the_end_nothing_is_waited_for(void **state)
{
    struct world *const world = world_create("ignores_cancel");
    world_open(world);
    const uint64_t begun = world_now_ms();
    assert_int_equal(train_and_cancel(world, UINT64_MAX), STATUS_CANCELLED);
    assert_true(world_now_ms() - begun < 15000);
    struct trainer_result result = {0};
    float delta[WORLD_PARAMETERS];
    assert_int_equal(world_train(world, &result, delta, nullptr), STATUS_CANCELLED);
    world_destroy(world);
}

/* ---- who dies first ---- */

static pid_t spawn_owner(const struct world *world)
{
    const pid_t owner = fork();
    if (owner != 0)
        return owner;
    char *const arguments[] = {(char *)(uintptr_t)"/proc/self/exe", (char *)(uintptr_t)"own",
                               (char *)(uintptr_t)world->folder, nullptr};
    execv(arguments[0], arguments);
    _exit(1);
}

/* In a process of its own: trains until it is killed. */
static int own_main(const char *folder)
{
    struct world *const world = world_create("hang");
    snprintf(world->command, sizeof(world->command),
             "sh -c 'echo $$ > %s/pid; sleep 1000' & sleep 1000; true", folder);
    world_open(world);
    pause();
    return 0;
}

static pid_t wait_for_pid(const char *path)
{
    const uint64_t begun = world_now_ms();
    for (;;) {
        char text[32] = "";
        FILE *const file = fopen(path, "re");
        if (file != nullptr) {
            (void)!fread(text, 1, sizeof(text) - 1, file);
            fclose(file);
        }
        if (strchr(text, '\n') != nullptr)
            return (pid_t)strtol(text, nullptr, 10);
        assert_true(world_now_ms() - begun < WORLD_PATIENCE_MS);
        usleep(1000);
    }
}

static void a_killed_node_leaves_no_trainer_behind(void **state)
{
    struct world *const world = calloc(1, sizeof(*world));
    char path[128];
    strcpy(world->folder, "/tmp/fedra-trainer-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(path, sizeof(path), "%s/pid", world->folder);
    const pid_t owner = spawn_owner(world);
    const pid_t grandchild = wait_for_pid(path);
    assert_true(lives(grandchild));
    const uint64_t begun = world_now_ms();
    assert_int_equal(kill(owner, SIGKILL), 0);
    while (lives(grandchild)) {
        assert_true(world_now_ms() - begun < WORLD_PATIENCE_MS);
        usleep(1000);
    }
    (void)unlink(path);
    (void)rmdir(world->folder);
    free(world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_is_not_there_is_named_by_the_shell),
        cmocka_unit_test(one_process_does_many_tasks_and_keeps_nothing_on_disk),
        cmocka_unit_test(a_program_is_told_who_it_is_and_where_its_samples_are),
        cmocka_unit_test(seeds_and_settings_of_a_task_depend_on_node_and_round_only),
        cmocka_unit_test(figures_of_the_received_model_are_passed_on),
        cmocka_unit_test(heartbeats_keep_a_long_task_alive_and_tell_its_progress),
        cmocka_unit_test(a_gigabyte_on_standard_error_is_read_and_cut_short),
        cmocka_unit_test(a_step_over_the_range_of_f32_is_refused),
        cmocka_unit_test(a_process_that_ended_between_two_tasks_is_replaced_without_a_failure),
        cmocka_unit_test(an_answer_that_comes_twice_is_ignored),
        cmocka_unit_test(an_answer_to_the_task_before_is_ignored_and_noted),
        cmocka_unit_test(what_is_said_between_two_tasks_and_is_no_answer_costs_the_process),
        cmocka_unit_test(starts_in_vain_are_spaced_out_and_the_wait_can_be_cancelled),
        cmocka_unit_test(what_a_trainer_leaves_behind_is_killed_with_it),
        cmocka_unit_test(a_trainer_that_does_not_end_is_ended),
        cmocka_unit_test(a_task_is_cancelled_by_a_line_and_the_process_lives),
        cmocka_unit_test(a_trainer_may_die_of_a_cancel),
        cmocka_unit_test(who_goes_on_after_a_cancel_is_ended_after_its_grace),
        cmocka_unit_test(an_answer_to_a_cancelled_task_that_comes_late_is_ignored),
        cmocka_unit_test(at_the_end_nothing_is_waited_for),
        cmocka_unit_test(a_killed_node_leaves_no_trainer_behind),
    };
    if (!world_setup(argc, argv))
        return 1;
    if (argc > 2 && strcmp(argv[1], "own") == 0)
        return own_main(argv[2]);
    return cmocka_run_group_tests_name("trainer_external", tests, nullptr, world_teardown);
}
