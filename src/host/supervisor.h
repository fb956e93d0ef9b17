/*
 * supervisor.h - keeps child processes running: starts them, starts them again when they die, ends
 * them; nothing is left behind, also when this process is killed.
 *
 * Not here: which processes and with what configuration (cli/up_command.c).
 */
#pragma once

#include "base/status.h"
#include "host/log.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
    CHILD_NAME_MAX = 32,
    RESTART_FIRST_MS = 100, /* the first wait; doubles to the longest; the first again after
                               RESTART_STABLE_MS alive */
    RESTART_LONGEST_MS = 1000,
    RESTART_STABLE_MS = 5000,
    RESTARTS_IN_VAIN_MAX = 10, /* deaths in a row, none by SIGKILL or SIGTERM, none after
                                  RESTART_STABLE_MS alive */
    CHILD_EXIT_USAGE = 2,      /* it will never start: wrong configuration */
};

struct supervisor;

struct child {
    char name[CHILD_NAME_MAX];
    char **arguments;  /* the caller's, null after the last; [0] is this program's path */
    char *output;      /* file, the caller's string, that standard output and error are appended to;
                          null: ours */
    bool keeps_output; /* standard output stays ours also where output is given */
    /* The supervisor's. */
    struct supervisor *supervisor;
    uv_timer_t timer;
    int pid; /* 0: not running */
    uint64_t started_ns;
    uint32_t wait_ms;
    uint32_t deaths_in_vain;
    uint32_t down_ms; /* 0, or the wait that supervisor_kill asked for */
    bool wanted;
};

/*
 * A child ended. exit_code is -1 where a signal ended it. Gives whether it is to be started again.
 * May call supervisor_end.
 */
typedef bool supervisor_on_exit(void *context, struct child *child, int exit_code, int signal);

/* children[count], the caller's, zeroed but for their first part; they live until closed. */
[[nodiscard]] enum status supervisor_open(uv_loop_t *loop, struct log *log, struct child *children,
                                          uint32_t count, supervisor_on_exit *on_exit,
                                          void *context, struct supervisor **ret_supervisor);

/* Starts a child. IO with the reason. */
[[nodiscard]] enum status supervisor_start(struct supervisor *supervisor, struct child *child,
                                           struct error *err);

/* Sends a signal to a running child, and wants it no more. */
void supervisor_stop(struct supervisor *supervisor, struct child *child, int signal);

/* Kills a child now, also one that is down, and starts it again after down_ms. */
void supervisor_kill(struct supervisor *supervisor, struct child *child, uint32_t down_ms);

/* How many are running. */
uint32_t supervisor_running(const struct supervisor *supervisor);

/* Kills whatever still runs, waits for it, and lets go of the loop's handles. */
void supervisor_close(struct supervisor *supervisor);
