/*
 * store_crash_test.c - kills a process at every named step and at random instants, and looks at
 * what is left.
 *
 * Goal: what was acknowledged before the kill is there, whole, and at most the one thing that was
 * under way besides. Method: a child works and reports each acknowledgement through a pipe; it dies
 * by SIGKILL; the parent opens the same folder. (A kill loses no page cache: failing disks are in
 * store_fault_test.c, torn slots in outbox_test.c.)
 */
#include "store_fixture.h"

#include "store/outbox.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

enum { RECORD_BYTES = 20000 };

static const uint8_t instance[STORE_INSTANCE_BYTES] = {9};

/* Whether the child that ran last reported anything. */
static bool reported;

/*
 * In the child: opens, raises the epoch, commits versions, pauses after each odd one and goes on
 * after each even one, and reports each; exits 0 at the end.
 */
static void work_on_store(const char *folder, int pipe_fd, uint64_t count)
{
    struct store *store = nullptr;
    struct store_summary summary;
    uint64_t epoch = 0;
    const struct store_sqlite_options options = {folder, "job", 0, nullptr};
    if (store_sqlite_open(&options, &store, nullptr) != STATUS_OK ||
        store_raise_epoch(store, 0, 0, instance, &epoch, nullptr) != STATUS_OK ||
        store_read_summary(store, &summary, nullptr) != STATUS_OK)
        _exit(1);
    for (uint64_t i = 1; i <= count; i++) {
        const uint64_t number = summary.commit_count + i;
        if (fixture_commit(store, number, epoch, RECORD_BYTES, nullptr) != STATUS_OK ||
            store_set_paused(store, number % 2 == 1, nullptr) != STATUS_OK ||
            write(pipe_fd, &number, sizeof(number)) != sizeof(number))
            _exit(2);
    }
    store_close(store);
    _exit(0);
}

/* In the child: opens, puts updates and reports each. */
static void work_on_outbox(const char *folder, int pipe_fd, uint64_t count)
{
    struct outbox *outbox = nullptr;
    struct outbox_update update = {0};
    static uint8_t payload[RECORD_BYTES];
    if (outbox_file_open(folder, &outbox, nullptr) != STATUS_OK)
        _exit(1);
    if (outbox_get(outbox, &update, nullptr) != STATUS_OK)
        update.key.round = 0;
    for (uint64_t i = 1; i <= count; i++) {
        const uint64_t round = update.key.round + i;
        const struct outbox_key key = {round, 0, fixture_payload(round, 0)};
        uint64_t sequence = 0;
        fixture_record(round, payload, sizeof(payload));
        /* The epoch first, so that it is never behind the round. */
        if (outbox_raise_epoch(outbox, round, nullptr) != STATUS_OK ||
            outbox_put(outbox, &key, (struct slice){(const uint8_t *)&round, sizeof(round)},
                       &(struct slice){payload, sizeof(payload)}, 1, &sequence,
                       nullptr) != STATUS_OK ||
            write(pipe_fd, &round, sizeof(round)) != sizeof(round))
            _exit(2);
    }
    outbox_close(outbox);
    _exit(0);
}

/*
 * Runs work in a child that dies at the step, or after delay_us where step is null.
 * ret_acknowledged is the last number reported (unchanged if none). Gives whether it was killed; it
 * never fails.
 */
static bool run_and_kill(void (*work)(const char *, int, uint64_t), const char *folder,
                         uint64_t count, const char *step, unsigned delay_us,
                         uint64_t *ret_acknowledged)
{
    int fds[2], status = 0;
    assert_int_equal(pipe(fds), 0);
    fflush(stdout);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        if (step != nullptr)
            setenv("FEDRA_CRASH_AT", step, 1);
        work(folder, fds[1], count);
    }
    close(fds[1]);
    if (step == nullptr) {
        usleep(delay_us);
        kill(pid, SIGKILL);
    }
    uint64_t number;
    for (reported = false; read(fds[0], &number, sizeof(number)) == sizeof(number); reported = true)
        *ret_acknowledged = number;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    else
        assert_int_equal(WTERMSIG(status), SIGKILL);
    return WIFSIGNALED(status);
}

/* Opens what is left: all that was acknowledged, at most one more; no file that nobody names. */
static uint64_t check_store(const char *folder, uint64_t acknowledged)
{
    struct store *store = nullptr;
    struct store_summary summary;
    struct error err = {0};
    const struct store_sqlite_options options = {folder, "job", 0, nullptr};
    if (store_sqlite_open(&options, &store, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(store_read_summary(store, &summary, nullptr), STATUS_OK);
    assert_in_range(summary.commit_count, acknowledged, acknowledged + 1);
    if (reported && summary.commit_count == acknowledged)
        assert_int_equal(summary.paused, acknowledged % 2 == 1);
    fixture_check(store, summary.commit_count, RECORD_BYTES);
    char models[600];
    uint64_t files = 0;
    snprintf(models, sizeof(models), "%s/jobs/job/models", folder);
    DIR *const dir = opendir(models);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != nullptr; entry = readdir(dir))
        files += entry->d_name[0] != '.';
    closedir(dir);
    /* The models, and the state file of the latest. */
    assert_int_equal(files, summary.commit_count + (summary.commit_count > 0));
    store_close(store);
    return summary.commit_count;
}

static uint64_t check_outbox(const char *folder, uint64_t acknowledged)
{
    struct outbox *outbox = nullptr;
    struct outbox_update update = {0};
    struct error err = {0};
    static uint8_t payload[RECORD_BYTES];
    if (outbox_file_open(folder, &outbox, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    const enum status status = outbox_get(outbox, &update, nullptr);
    assert_true(status == STATUS_OK || (status == STATUS_NOT_FOUND && acknowledged == 0));
    const uint64_t round = update.key.round;
    assert_in_range(round, acknowledged, acknowledged + 1);
    assert_in_range(outbox_epoch(outbox), round, round + 1);
    if (round > 0) {
        fixture_record(round, payload, sizeof(payload));
        assert_int_equal(update.payload.size, sizeof(payload));
        assert_memory_equal(update.payload.data, payload, sizeof(payload));
        assert_memory_equal(update.envelope.data, &round, sizeof(round));
    }
    outbox_close(outbox);
    return round;
}

static const char *const store_steps[] = {
    "durable_file.before_write",  "durable_file.before_sync",
    "durable_file.before_rename", "durable_file.before_folder_sync",
    "durable_file.done",          "store.before_model",
    "store.before_begin",         "store.before_commit",
    "store.after_commit",         "store.migrated"};
static const char *const outbox_steps[] = {
    "durable_file.before_write",  "durable_file.before_sync",
    "durable_file.before_rename", "durable_file.before_folder_sync",
    "durable_file.done",          "outbox.before_write",
    "outbox.before_sync",         "outbox.after_sync"};

/* Dies at the first, second and third pass of each step, then finishes the work undisturbed. */
static void kill_at_steps(void (*work)(const char *, int, uint64_t),
                          uint64_t (*check)(const char *, uint64_t), const char *const *steps,
                          size_t count)
{
    char folder[512], step[100];
    for (size_t i = 0; i < count; i++) {
        bool killed = false;
        for (int pass = 1; pass <= 3; pass++) {
            uint64_t acknowledged = 0;
            fixture_folder("crash", folder);
            snprintf(step, sizeof(step), "%s:%d", steps[i], pass);
            killed |= run_and_kill(work, folder, 3, step, 0, &acknowledged);
            acknowledged = check(folder, acknowledged);
            const uint64_t before = acknowledged;
            assert_false(run_and_kill(work, folder, 2, "none:1", 0, &acknowledged));
            assert_int_equal(acknowledged, before + 2);
            assert_int_equal(check(folder, acknowledged), acknowledged);
        }
        assert_true(killed); /* the step exists */
    }
    fixture_remove(folder);
}

static void kill_at_random(void (*work)(const char *, int, uint64_t),
                           uint64_t (*check)(const char *, uint64_t))
{
    char folder[512];
    uint64_t acknowledged = 0;
    unsigned seed = (unsigned)getpid();
    print_message("# seed %u\n", seed);
    fixture_folder("random", folder);
    /* On a busy machine nothing is acknowledged within 30 ms: then they live longer. */
    for (unsigned i = 0; i < 25 || (acknowledged == 0 && i < 200); i++) {
        const unsigned us_max = 30000 * (1 + i / 25 * (i / 25));
        (void)run_and_kill(work, folder, 1000, nullptr, (unsigned)rand_r(&seed) % us_max,
                           &acknowledged);
        acknowledged = check(folder, acknowledged);
    }
    assert_true(acknowledged > 0);
    fixture_remove(folder);
}

static void a_store_killed_at_any_step_keeps_what_it_acknowledged(void **state)
{
    kill_at_steps(work_on_store, check_store, store_steps,
                  sizeof(store_steps) / sizeof(*store_steps));
}

static void an_outbox_killed_at_any_step_keeps_what_it_acknowledged(void **state)
{
    kill_at_steps(work_on_outbox, check_outbox, outbox_steps,
                  sizeof(outbox_steps) / sizeof(*outbox_steps));
}

static void a_store_killed_at_random_keeps_what_it_acknowledged(void **state)
{
    kill_at_random(work_on_store, check_store);
}

static void an_outbox_killed_at_random_keeps_what_it_acknowledged(void **state)
{
    kill_at_random(work_on_outbox, check_outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_killed_at_any_step_keeps_what_it_acknowledged),
        cmocka_unit_test(an_outbox_killed_at_any_step_keeps_what_it_acknowledged),
        cmocka_unit_test(a_store_killed_at_random_keeps_what_it_acknowledged),
        cmocka_unit_test(an_outbox_killed_at_random_keeps_what_it_acknowledged),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
