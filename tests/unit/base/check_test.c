/*
 * check_test.c - an assertion that fails says where and aborts; one that holds is evaluated once.
 */
#include "base/check.h"

#include "testing.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_condition_that_holds_is_evaluated_once(void **state)
{
    int evaluated = 0;
    CHECK(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

/* In the child: aborts at the line given back through the pipe's text. */
static void fail_into(int fd)
{
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGABRT, SIG_DFL);
    dup2(fd, STDERR_FILENO);
    const int apples = 3;
    CHECK(apples == 4);
    _exit(0);
}

static void one_that_fails_names_itself_and_aborts(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    const pid_t child = fork();
    if (child == 0)
        fail_into(fds[1]);
    close(fds[1]);
    char text[512] = "";
    size_t size = 0;
    for (ssize_t got; (got = read(fds[0], text + size, sizeof(text) - 1 - size)) > 0;)
        size += (size_t)got;
    close(fds[0]);
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended));
    assert_int_equal(WTERMSIG(ended), SIGABRT);
    assert_non_null(strstr(text, "check_test.c:"));
    assert_non_null(strstr(text, "apples == 4 does not hold"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_condition_that_holds_is_evaluated_once),
        cmocka_unit_test(one_that_fails_names_itself_and_aborts),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
