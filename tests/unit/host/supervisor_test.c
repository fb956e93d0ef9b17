/*
 * supervisor_test.c - children are started, started again and ended; none outlives its parent.
 *
 * Goal: what supervisor.h promises about processes holds for real ones.
 * Method: the supervisor starts the program it is part of, so this test is its own child: with
 * "child MODE" as arguments it behaves as MODE says.
 */
#include "host/supervisor.h"

#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIVES_MAX = 16, CHILDREN_MAX = 3, PATIENCE_MS = 10000 };

static char program[512];

/* ---- what a child does ---- */

/* Says what it was given; every letter is one promise kept. */
static int say_surroundings(void)
{
    char comm[32] = "";
    char null[32] = "";
    sigset_t blocked;
    struct sigaction action;
    FILE *const file = fopen("/proc/self/comm", "re");
    if (file == nullptr)
        return 1;
    if (fgets(comm, sizeof(comm), file) == nullptr)
        comm[0] = 0;
    fclose(file);
    comm[strcspn(comm, "\n")] = 0;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    sigaction(SIGINT, nullptr, &action);
    if (readlink("/proc/self/fd/0", null, sizeof(null) - 1) < 0)
        return 1;
    printf("comm=%s stdin=%s group=%d blocked=%d default=%d\n", comm, null, getpgrp() == getpid(),
           sigismember(&blocked, SIGTERM), action.sa_handler == SIG_DFL);
    fprintf(stderr, "and an error\n");
    return 7;
}

static int child_main(const char *mode)
{
    if (!strcmp(mode, "say"))
        return say_surroundings();
    signal(SIGHUP, SIG_DFL); /* also where the tests run under nohup */
    if (!strcmp(mode, "stubborn"))
        signal(SIGTERM, SIG_IGN);
    if (!strcmp(mode, "live") || !strcmp(mode, "stubborn")) {
        if (write(STDOUT_FILENO, "!", 1) != 1) /* its handlers are set */
            return 1;
        for (;;)
            pause();
    }
    return 1; /* "die" */
}

/* ---- the world around a supervisor ---- */

struct life {
    uint32_t wait_ms;
    uint32_t deaths_in_vain;
    int code;
    int signal;
    uint64_t ended_ns;
};

struct world {
    uv_loop_t loop;
    uv_timer_t patience;
    uv_timer_t ticks;
    struct supervisor *supervisor;
    struct child children[CHILDREN_MAX];
    struct life lives[LIVES_MAX];
    uint32_t lives_count;
    uint32_t lives_wanted; /* the loop stops after that many deaths */
    bool again;            /* what on_exit answers */
    char folder[64];
    char outputs[CHILDREN_MAX][96];
    char *arguments[CHILDREN_MAX][4];
};

static char word_child[] = "child";

static bool on_exit_of_child(void *context, struct child *child, int code, int number)
{
    struct world *const world = context;
    assert_true(world->lives_count < LIVES_MAX);
    world->lives[world->lives_count++] = (struct life){.wait_ms = child->wait_ms,
                                                       .deaths_in_vain = child->deaths_in_vain,
                                                       .code = code,
                                                       .signal = number,
                                                       .ended_ns = uv_hrtime()};
    if (world->lives_count == world->lives_wanted)
        uv_stop(&world->loop);
    return world->again;
}

static void on_impatience(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void world_open(struct world *world)
{
    *world = (struct world){.again = true};
    strcpy(world->folder, "/tmp/fedra-supervisor-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    assert_int_equal(uv_loop_init(&world->loop), 0);
    assert_int_equal(uv_timer_init(&world->loop, &world->patience), 0);
    assert_int_equal(uv_timer_init(&world->loop, &world->ticks), 0);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        snprintf(world->outputs[i], sizeof(world->outputs[i]), "%s/%u", world->folder, i);
        snprintf(world->children[i].name, CHILD_NAME_MAX, "child-%u", i);
        world->children[i].output = world->outputs[i];
    }
    assert_int_equal(supervisor_open(&world->loop, nullptr, world->children, CHILDREN_MAX,
                                     on_exit_of_child, world, &world->supervisor),
                     STATUS_OK);
}

static void world_start(struct world *world, uint32_t index, char *mode)
{
    struct error err = {0};
    struct child *const child = &world->children[index];
    world->arguments[index][0] = program;
    world->arguments[index][1] = word_child;
    world->arguments[index][2] = mode;
    child->arguments = world->arguments[index];
    if (supervisor_start(world->supervisor, child, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

/* Lets the loop run until `lives` deaths were seen in all. */
static void world_run(struct world *world, uint32_t lives)
{
    world->lives_wanted = lives;
    uv_timer_start(&world->patience, on_impatience, PATIENCE_MS, 0);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&world->patience);
    assert_true(world->lives_count >= lives);
}

/* Reads what child `index` has written. */
static void world_read(const struct world *world, uint32_t index, char *ret_text, size_t capacity)
{
    const int fd = open(world->outputs[index], O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd < 0 ? -1 : read(fd, ret_text, capacity - 1);
    if (fd >= 0)
        close(fd);
    ret_text[size > 0 ? size : 0] = 0;
}

/* Lets the loop run, without a death, until child `index` runs and has written `count` bytes. */
static void world_wait_for(struct world *world, uint32_t index, size_t count)
{
    char text[256] = "";
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        world_read(world, index, text, sizeof(text));
        if (strlen(text) >= count && world->children[index].pid != 0)
            return;
        uv_timer_start(&world->ticks, on_impatience, 10, 0);
        uv_run(&world->loop, UV_RUN_DEFAULT);
    }
    fail_msg("child %u said only \"%s\"", index, text);
}

static void world_close(struct world *world)
{
    supervisor_close(world->supervisor);
    uv_close((uv_handle_t *)&world->patience, nullptr);
    uv_close((uv_handle_t *)&world->ticks, nullptr);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++)
        unlink(world->outputs[i]);
    assert_int_equal(rmdir(world->folder), 0);
}

static char die[] = "die";
static char live[] = "live";
static char stubborn[] = "stubborn";
static char say[] = "say";

/* ---- cases ---- */

static void the_wait_doubles_to_a_second(void **state)
{
    static const uint32_t waits_ms[] = {100, 200, 400, 800, 1000, 1000};
    struct world world;
    world_open(&world);
    world_start(&world, 0, die);
    world_run(&world, 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(world.lives[i].code, 1);
        assert_int_equal(world.lives[i].signal, 0);
        assert_int_equal(world.lives[i].wait_ms, waits_ms[i]);
        assert_int_equal(world.lives[i].deaths_in_vain, i + 1);
        /* A timer of libuv counts whole ms, so it may be up to one early. */
        if (i > 0)
            assert_true(world.lives[i].ended_ns - world.lives[i - 1].ended_ns >=
                        (waits_ms[i - 1] - 1) * UINT64_C(1000000));
    }
    world_close(&world);
}

static void five_seconds_alive_begin_anew(void **state)
{
    struct world world;
    world_open(&world);
    world_start(&world, 0, live);
    for (uint32_t i = 1; i <= 3; i++) {
        world_wait_for(&world, 0, i);
        kill(world.children[0].pid, SIGHUP);
        world_run(&world, i);
    }
    assert_int_equal(world.lives[2].wait_ms, 400);
    assert_int_equal(world.lives[2].deaths_in_vain, 3);
    world_wait_for(&world, 0, 4);
    world.children[0].started_ns -= UINT64_C(5000000000); /* as if it had lived that long */
    kill(world.children[0].pid, SIGHUP);
    world_run(&world, 4);
    assert_int_equal(world.lives[3].wait_ms, 100);
    assert_int_equal(world.lives[3].deaths_in_vain, 0);
    world_close(&world);
}

static void a_kill_from_outside_is_no_death_in_vain(void **state)
{
    static const int numbers[] = {SIGKILL, SIGTERM, SIGHUP};
    static const uint32_t in_vain[] = {0, 0, 1};
    struct world world;
    world_open(&world);
    world_start(&world, 0, live);
    int before = 0;
    for (uint32_t i = 0; i < 3; i++) {
        world_wait_for(&world, 0, i + 1);
        assert_int_not_equal(world.children[0].pid, before);
        before = world.children[0].pid;
        kill(before, numbers[i]);
        world_run(&world, i + 1);
        assert_int_equal(world.lives[i].code, -1);
        assert_int_equal(world.lives[i].signal, numbers[i]);
        assert_int_equal(world.lives[i].deaths_in_vain, in_vain[i]);
    }
    world_close(&world);
}

static void who_is_stopped_stays_down_whatever_the_owner_answers(void **state)
{
    struct world world;
    world_open(&world);
    world_start(&world, 0, live);
    world_start(&world, 1, live);
    world_wait_for(&world, 0, 1);
    world_wait_for(&world, 1, 1);
    assert_int_equal(supervisor_running(world.supervisor), 2);
    supervisor_stop(world.supervisor, &world.children[0], SIGTERM);
    world_run(&world, 1);
    assert_int_equal(world.lives[0].signal, SIGTERM);
    uv_timer_start(&world.ticks, on_impatience, 300, 0); /* three times the first wait */
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.children[0].pid, 0);
    assert_int_equal(supervisor_running(world.supervisor), 1);
    world_close(&world);
}

static void who_is_killed_by_the_owner_stays_down_as_long_as_asked(void **state)
{
    struct world world;
    world_open(&world);
    world_start(&world, 0, live);
    supervisor_kill(world.supervisor, &world.children[0], 300);
    world_run(&world, 1);
    assert_int_equal(world.lives[0].signal, SIGKILL);
    assert_int_equal(world.lives[0].deaths_in_vain, 0);
    const uint64_t ended_ns = world.lives[0].ended_ns;
    while (world.children[0].pid == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_in_range((uv_hrtime() - ended_ns) / 1000000, 290, 2000);
    /* The next death waits as ever: the wish was for once. */
    kill(world.children[0].pid, SIGKILL);
    world_run(&world, 2);
    const uint64_t again_ns = world.lives[1].ended_ns;
    while (world.children[0].pid == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_in_range((uv_hrtime() - again_ns) / 1000000, 90, 290);
    /* One that is down waits anew. */
    kill(world.children[0].pid, SIGKILL);
    world_run(&world, 3);
    supervisor_kill(world.supervisor, &world.children[0], 500);
    const uint64_t asked_ns = uv_hrtime();
    while (world.children[0].pid == 0)
        uv_run(&world.loop, UV_RUN_ONCE);
    assert_in_range((uv_hrtime() - asked_ns) / 1000000, 490, 2000);
    world_close(&world);
}

static void who_waits_to_be_started_again_can_be_stopped(void **state)
{
    struct world world;
    world_open(&world);
    world_start(&world, 0, die);
    world_run(&world, 1);
    supervisor_stop(world.supervisor, &world.children[0], SIGTERM);
    uv_timer_start(&world.ticks, on_impatience, 300, 0);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    assert_int_equal(world.lives_count, 1);
    world_close(&world);
}

static void closing_leaves_nobody(void **state)
{
    struct world world;
    int pids[CHILDREN_MAX];
    world_open(&world);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++)
        world_start(&world, i, stubborn);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        world_wait_for(&world, i, 1);
        pids[i] = world.children[i].pid;
        assert_int_equal(kill(pids[i], SIGTERM), 0); /* to no effect */
    }
    world_close(&world);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        assert_int_equal(kill(pids[i], 0), -1);
        assert_int_equal(errno, ESRCH);
    }
}

/* Runs a supervisor of stubborn children until it is killed; says their pids to fd. */
[[noreturn]] static void be_a_parent(int fd)
{
    struct world world;
    int pids[CHILDREN_MAX];
    world_open(&world);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++)
        world_start(&world, i, stubborn);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        world_wait_for(&world, i, 1);
        pids[i] = world.children[i].pid;
        unlink(world.outputs[i]);
    }
    rmdir(world.folder);
    if (write(fd, pids, sizeof(pids)) != sizeof(pids))
        _exit(1);
    for (;;)
        pause();
}

static void nobody_outlives_a_killed_parent(void **state)
{
    int ends[2];
    int pids[CHILDREN_MAX] = {0};
    int status = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    /* Orphans become ours, so that we can see how they ended. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    const pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0)
        be_a_parent(ends[1]);
    assert_int_equal(read(ends[0], pids, sizeof(pids)), sizeof(pids));
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(waitpid(parent, &status, 0), parent);
    for (uint32_t i = 0; i < CHILDREN_MAX; i++) {
        pid_t ended = 0;
        for (int tries = 0; ended == 0 && tries < PATIENCE_MS / 10; tries++) {
            ended = waitpid(pids[i], &status, WNOHANG);
            if (ended == 0)
                usleep(10000);
        }
        if (ended == 0)
            kill(pids[i], SIGKILL);
        assert_int_equal(ended, pids[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    close(ends[0]);
    close(ends[1]);
}

static void a_child_has_its_name_its_group_its_output_and_nothing_of_ours(void **state)
{
    char said[256];
    char wanted[256];
    struct world world;
    world_open(&world);
    world.again = false;
    world_start(&world, 0, say);
    world_run(&world, 1);
    assert_int_equal(world.lives[0].code, 7);
    world_read(&world, 0, said, sizeof(said));
    /* The kernel keeps 15 characters of a name. */
    snprintf(wanted, sizeof(wanted), "comm=%.15s stdin=/dev/null group=1 blocked=0 default=1\n",
             strrchr(program, '/') + 1);
    assert_non_null(strstr(said, wanted));
    assert_non_null(strstr(said, "and an error\n"));
    world_close(&world);
}

static void a_place_for_output_that_is_not_there_is_named(void **state)
{
    char nowhere[] = "/nowhere/at/all";
    struct error err = {0};
    struct world world;
    world_open(&world);
    world.children[0].output = nowhere;
    world.arguments[0][0] = program;
    world.children[0].arguments = world.arguments[0];
    assert_int_equal(supervisor_start(world.supervisor, &world.children[0], &err), STATUS_IO);
    assert_non_null(strstr(err.text, "child-0"));
    assert_non_null(strstr(err.text, nowhere));
    assert_int_equal(supervisor_running(world.supervisor), 0);
    world_close(&world);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], word_child))
        return child_main(argv[2]);
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_doubles_to_a_second),
        cmocka_unit_test(five_seconds_alive_begin_anew),
        cmocka_unit_test(a_kill_from_outside_is_no_death_in_vain),
        cmocka_unit_test(who_is_stopped_stays_down_whatever_the_owner_answers),
        cmocka_unit_test(who_is_killed_by_the_owner_stays_down_as_long_as_asked),
        cmocka_unit_test(who_waits_to_be_started_again_can_be_stopped),
        cmocka_unit_test(closing_leaves_nobody),
        cmocka_unit_test(nobody_outlives_a_killed_parent),
        cmocka_unit_test(a_child_has_its_name_its_group_its_output_and_nothing_of_ours),
        cmocka_unit_test(a_place_for_output_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
