/*
 * trainer_test.c - the contract of the trainers' table, over every implementation; then what the
 * built-in ones do. trainer_external's programs: trainer_external_test.c.
 */
#include "testing.h"

#include "train/trainer.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES = 40, INPUTS = 8, PARAMETERS = 3 * 9 };

static uint8_t pixels[SAMPLES * INPUTS];
static uint8_t labels[SAMPLES];
static struct dataset data = {pixels, labels, SAMPLES, INPUTS, 1, INPUTS, nullptr};
static float base[PARAMETERS];
static const struct trainer_ops *const all[] = {&trainer_builtin, &trainer_fixed,
                                                &trainer_external};
static const char *const keeper[] = {"/proc/self/exe", "keep", nullptr};
static struct layout *layout;
static char folder[] = "/tmp/fedra-trainer-XXXXXX";

/* A program that gives the model back as it came. */
static const char copy[] =
    "while read -r line; do case $line in *hello*) echo '{\"type\":\"ready\",\"protocol\":1}' ;; "
    "*) f() { echo \"$line\" | sed 's/.*\"'$1'\":\"*\\([^\",}]*\\).*/\\1/'; }; "
    "cp $(f model) $(f output); "
    "echo '{\"type\":\"trained\",\"samples\":3,\"loss\":0,\"id\":'$(f id)'}' ;; esac; done";

static struct trainer_options options(void)
{
    return (struct trainer_options){
        .spec = {.kind = MODEL_SOFTMAX, .inputs = INPUTS, .classes = 3},
        .data = &data,
        .sgd = {.local_epochs = 2, .batch_size = 10, .learning_rate = 0.1f},
        .node = trainer_node_key("a"),
        .fixed_samples = 5,
        .external = {.command = copy,
                     .keeper = keeper,
                     .folder = folder,
                     .layout = layout,
                     .job = "job",
                     .node = "a",
                     .parts = 1,
                     .data = "",
                     .start_timeout_s = 60,
                     .task_timeout_s = 60,
                     .cancel_grace_s = 60,
                     .end_grace_s = 60},
    };
}

static struct trainer_task task_of(uint64_t serial)
{
    return (struct trainer_task){
        .serial = serial, .seed = 1, .round = serial, .base = base, .parameters = PARAMETERS};
}

static int make_data(void **state)
{
    for (uint32_t i = 0; i < SAMPLES * INPUTS; i++)
        pixels[i] = (uint8_t)(i * 73);
    for (uint32_t i = 0; i < SAMPLES; i++)
        labels[i] = (uint8_t)(i % 3);
    const struct model_spec spec = options().spec;
    assert_int_equal(model_spec_layout(&spec, &layout, nullptr), STATUS_OK);
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int remove_data(void **state)
{
    layout_destroy(layout);
    return rmdir(folder);
}

static void every_trainer_is_found_by_its_name(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        assert_ptr_equal(trainer_find(all[i]->name), all[i]);
    assert_null(trainer_find("bultin"));
}

/* SHA-256("a") begins ca978112ca1bbdca (FIPS 180-4 test vectors have it). */
static void node_keys_are_the_head_of_the_digest(void **state)
{
    assert_true(trainer_node_key("a") == UINT64_C(0xcabd1bca128197ca));
}

static void every_trainer_gives_the_same_answer_to_the_same_task(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const struct trainer_options opt = options();
        float deltas[2][PARAMETERS];
        for (int run = 0; run < 2; run++) {
            const struct trainer_task task = task_of(1);
            struct trainer_result result = {0};
            void *trainer = nullptr;
            assert_int_equal(all[i]->open(&opt, &trainer, nullptr), STATUS_OK);
            assert_int_equal(all[i]->train(trainer, &task, deltas[run], &result, nullptr),
                             STATUS_OK);
            assert_true(result.samples >= 1 && result.steps >= 1);
            assert_false(result.received_evaluated);
            all[i]->close(trainer);
        }
        assert_memory_equal(deltas[0], deltas[1], sizeof(deltas[0]));
    }
}

static void every_trainer_refuses_a_model_of_another_size(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const struct trainer_options opt = options();
        struct trainer_task task = task_of(1);
        struct trainer_result result = {0};
        struct error err = {0};
        float delta[PARAMETERS];
        void *trainer = nullptr;
        task.parameters--;
        assert_int_equal(all[i]->open(&opt, &trainer, nullptr), STATUS_OK);
        assert_int_equal(all[i]->train(trainer, &task, delta, &result, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, "has 26 parameters, but the trainer's has 27"));
        all[i]->close(trainer);
    }
}

static void cancel_stops_its_serial_and_those_before_not_later_ones(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        const struct trainer_options opt = options();
        struct trainer_result result = {0};
        float delta[PARAMETERS];
        void *trainer = nullptr;
        assert_int_equal(all[i]->open(&opt, &trainer, nullptr), STATUS_OK);
        all[i]->cancel(trainer, 5);
        all[i]->cancel(trainer, 3); /* never takes back */
        for (uint64_t serial = 4; serial <= 6; serial++) {
            const struct trainer_task task = task_of(serial);
            assert_int_equal(all[i]->train(trainer, &task, delta, &result, nullptr),
                             serial <= 5 ? STATUS_CANCELLED : STATUS_OK);
        }
        all[i]->close(trainer);
    }
}

static void every_trainer_refuses_bad_options_and_opens_nothing(void **state)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        struct trainer_options opt = options();
        struct error err = {0};
        void *trainer = nullptr;
        opt.spec.classes = 0;
        assert_int_equal(all[i]->open(&opt, &trainer, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, "0 classes"));
        assert_null(trainer);
    }
    struct trainer_options opt = options();
    void *trainer = nullptr;
    opt.data = nullptr;
    assert_int_equal(trainer_builtin.open(&opt, &trainer, nullptr), STATUS_INVAL);
    opt = options();
    opt.spec = (struct model_spec){.kind = MODEL_FLAT, .parameters = 4};
    assert_int_equal(trainer_builtin.open(&opt, &trainer, nullptr), STATUS_INVAL);
    opt = options();
    opt.fixed_samples = 0;
    assert_int_equal(trainer_fixed.open(&opt, &trainer, nullptr), STATUS_INVAL);
    assert_null(trainer);
}

/* What is held out is measured, on the model received, and changes nothing about the training. */
static void builtin_measures_the_received_model_on_what_is_held_out(void **state)
{
    struct dataset held = data;
    struct trainer_options opt = options();
    struct evaluation alone = {0};
    float deltas[2][PARAMETERS];
    float received[PARAMETERS];
    held.samples = 7;
    for (uint32_t i = 0; i < PARAMETERS; i++)
        received[i] = (float)(i % 5) * 0.25f - 0.5f;
    for (int with = 0; with < 2; with++) {
        struct trainer_task task = task_of(1);
        struct trainer_result result = {0};
        void *trainer = nullptr;
        task.base = received;
        opt.holdout = with ? &held : nullptr;
        assert_int_equal(trainer_builtin.open(&opt, &trainer, nullptr), STATUS_OK);
        assert_int_equal(trainer_builtin.train(trainer, &task, deltas[with], &result, nullptr),
                         STATUS_OK);
        assert_int_equal(result.received_evaluated, with);
        if (with) {
            assert_int_equal(trainer_builtin.evaluate(trainer, received, &held, &alone, nullptr),
                             STATUS_OK);
            assert_int_equal(result.received.samples, 7);
            assert_true(result.received.loss == alone.loss && alone.loss > 0);
            assert_true(result.received.accuracy == alone.accuracy);
        }
        assert_int_equal(result.samples, SAMPLES);
        trainer_builtin.close(trainer);
    }
    assert_memory_equal(deltas[0], deltas[1], sizeof(deltas[0]));
    held.features--;
    void *trainer = nullptr;
    opt.holdout = &held;
    assert_int_equal(trainer_builtin.open(&opt, &trainer, nullptr), STATUS_INVAL);
    assert_null(trainer);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void *cancel_soon(void *trainer)
{
    usleep(20000);
    trainer_fixed.cancel(trainer, 2);
    return nullptr;
}

static void fixed_waits_as_long_as_it_is_told_and_no_longer_once_cancelled(void **state)
{
    struct trainer_options opt = options();
    struct trainer_task task = task_of(1);
    struct trainer_result result = {0};
    float delta[PARAMETERS];
    void *trainer = nullptr;
    pthread_t thread;
    opt.fixed_wait_ms = 60;
    assert_int_equal(trainer_fixed.open(&opt, &trainer, nullptr), STATUS_OK);
    double begun = seconds_now();
    assert_int_equal(trainer_fixed.train(trainer, &task, delta, &result, nullptr), STATUS_OK);
    assert_true(seconds_now() - begun >= 0.06);
    trainer_fixed.close(trainer);
    opt.fixed_wait_ms = 3600 * 1000;
    task = task_of(2);
    assert_int_equal(trainer_fixed.open(&opt, &trainer, nullptr), STATUS_OK);
    begun = seconds_now();
    assert_int_equal(pthread_create(&thread, nullptr, cancel_soon, trainer), 0);
    assert_int_equal(trainer_fixed.train(trainer, &task, delta, &result, nullptr),
                     STATUS_CANCELLED);
    assert_true(seconds_now() - begun >= 0.02);
    pthread_join(thread, nullptr);
    trainer_fixed.close(trainer);
}

static void fixed_gives_the_vector_it_was_given(void **state)
{
    const float wanted[4] = {1, -2, 3.5f, 0};
    float delta[4];
    const float four[4] = {0};
    struct trainer_options opt = {
        .spec = {.kind = MODEL_FLAT, .parameters = 4}, .fixed_delta = wanted, .fixed_samples = 17};
    const struct trainer_task task = {.serial = 1, .base = four, .parameters = 4};
    struct trainer_result result = {0};
    struct evaluation evaluation = {0};
    void *trainer = nullptr;
    assert_int_equal(trainer_fixed.open(&opt, &trainer, nullptr), STATUS_OK);
    assert_int_equal(trainer_fixed.train(trainer, &task, delta, &result, nullptr), STATUS_OK);
    assert_memory_equal(delta, wanted, sizeof(wanted));
    assert_int_equal(result.samples, 17);
    assert_int_equal(trainer_fixed.evaluate(trainer, four, &data, &evaluation, nullptr),
                     STATUS_UNSUPPORTED);
    trainer_fixed.close(trainer);
}

struct seen {
    uint64_t calls;
    uint64_t total;
};

static void on_progress(void *context, uint64_t steps, uint64_t steps_total)
{
    struct seen *const seen = context;
    seen->calls++;
    assert_int_equal(steps, seen->calls);
    seen->total = steps_total;
}

/* 40 samples in batches of 12 are 4 steps an epoch, the last one short. */
static void builtin_tells_its_progress_and_evaluates(void **state)
{
    struct trainer_options opt = options();
    struct trainer_task task = task_of(1);
    struct trainer_result result = {0};
    struct seen seen = {0};
    struct evaluation evaluation = {0};
    float delta[PARAMETERS];
    void *trainer = nullptr;
    opt.sgd.batch_size = 12;
    task.progress = on_progress;
    task.progress_context = &seen;
    assert_int_equal(trainer_builtin.open(&opt, &trainer, nullptr), STATUS_OK);
    assert_int_equal(trainer_builtin.train(trainer, &task, delta, &result, nullptr), STATUS_OK);
    assert_int_equal(seen.calls, 8);
    assert_int_equal(seen.total, 8);
    assert_int_equal(result.steps, 8);
    assert_int_equal(result.samples, SAMPLES);
    assert_int_equal(trainer_builtin.evaluate(trainer, base, &data, &evaluation, nullptr),
                     STATUS_OK);
    assert_double_equal(evaluation.loss, log(3), 1e-12); /* base is zero: all classes equal */
    trainer_builtin.close(trainer);
}

struct running {
    void *trainer;
    atomic_bool begun;
    enum status status;
};

static void on_begun(void *context, uint64_t steps, uint64_t steps_total)
{
    struct running *const running = context;
    atomic_store(&running->begun, true);
}

static void *train_long(void *context)
{
    struct running *const running = context;
    struct trainer_task task = task_of(1);
    struct trainer_result result = {0};
    float delta[PARAMETERS];
    task.progress = on_begun;
    task.progress_context = running;
    running->status = trainer_builtin.train(running->trainer, &task, delta, &result, nullptr);
    return nullptr;
}

/* 10,000 epochs of single samples would take seconds; the test ends as soon as cancel works. */
static void cancel_from_another_thread_ends_a_training_that_runs(void **state)
{
    struct trainer_options opt = options();
    struct running running = {0};
    pthread_t thread;
    opt.sgd.local_epochs = SGD_EPOCHS_MAX;
    opt.sgd.batch_size = 1;
    assert_int_equal(trainer_builtin.open(&opt, &running.trainer, nullptr), STATUS_OK);
    assert_int_equal(pthread_create(&thread, nullptr, train_long, &running), 0);
    while (!atomic_load(&running.begun))
        sched_yield();
    trainer_builtin.cancel(running.trainer, 1);
    assert_int_equal(pthread_join(thread, nullptr), 0);
    assert_int_equal(running.status, STATUS_CANCELLED);
    trainer_builtin.close(running.trainer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trainer_is_found_by_its_name),
        cmocka_unit_test(node_keys_are_the_head_of_the_digest),
        cmocka_unit_test(every_trainer_gives_the_same_answer_to_the_same_task),
        cmocka_unit_test(every_trainer_refuses_a_model_of_another_size),
        cmocka_unit_test(cancel_stops_its_serial_and_those_before_not_later_ones),
        cmocka_unit_test(every_trainer_refuses_bad_options_and_opens_nothing),
        cmocka_unit_test(builtin_measures_the_received_model_on_what_is_held_out),
        cmocka_unit_test(fixed_waits_as_long_as_it_is_told_and_no_longer_once_cancelled),
        cmocka_unit_test(fixed_gives_the_vector_it_was_given),
        cmocka_unit_test(builtin_tells_its_progress_and_evaluates),
        cmocka_unit_test(cancel_from_another_thread_ends_a_training_that_runs),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "keep") == 0)
        return trainer_keeper_main(argc - 2, argv + 2);
    return cmocka_run_group_tests_name("trainer", tests, make_data, remove_data);
}
