/*
 * trainer_process.h - an external trainer as a process: started by a keeper, with pipes and limits,
 * and ended for certain.
 *
 * Nothing here blocks, but trainer_process_destroy, and that for a bounded time. Who writes to the
 * pipes has SIGPIPE ignored. Not here: what is said (trainer_session.h).
 */
#pragma once

#include "base/status.h"
#include "train/trainer_keeper.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { TRAINER_VARIABLES_MAX = 16, TRAINER_KEEPER_WORDS_MAX = 4 };

/* One variable of the trainer's environment. */
struct trainer_variable {
    const char *name;
    const char *value;
    bool gives_way; /* only where it is not set already */
};

struct trainer_process_options {
    /* What runs trainer_keeper_main: a program's path and its first arguments, then null. */
    const char *const *keeper;
    const char *command; /* for /bin/sh -c, in the node's working directory */
    struct trainer_limits limits;
    const struct trainer_variable *variables; /* [variable_count], over the node's environment */
    uint32_t variable_count;
};

struct trainer_process {
    pid_t keeper;
    int input;   /* to the trainer's standard input; not blocking; -1 once closed */
    int output;  /* from its standard output; not blocking; -1 once it is closed at its end */
    int errors;  /* from its standard error; likewise */
    int control; /* to the keeper */
    bool ended;
    int wait_status; /* as waitpid(2) has it, once ended */
};

/* Starts one; the caller destroys it. IO where processes or descriptors are short, NO_MEMORY. */
[[nodiscard]] enum status trainer_process_start(const struct trainer_process_options *options,
                                                struct trainer_process **ret_process,
                                                struct error *err);

/* Whether it has ended by now. control is readable when this changes. */
bool trainer_process_ended(struct trainer_process *process);

/* Asks all of its processes to end (SIGTERM). */
void trainer_process_terminate(struct trainer_process *process);

/* Says that nothing more will come on its standard input. */
void trainer_process_close_input(struct trainer_process *process);

/* Bytes that were written to its standard input and not read; all where it cannot be told. */
size_t trainer_process_unread(const struct trainer_process *process);

enum { TRAINER_END_TEXT_MAX = 96 };

/* "ended with exit code 3", "was killed by signal 9 (out of memory?)". It has ended. */
void trainer_process_describe_end(const struct trainer_process *process,
                                  char ret_text[static TRAINER_END_TEXT_MAX]);

/* Kills what is left of it, waits for that (seconds at most), frees. Null is allowed. */
void trainer_process_destroy(struct trainer_process *process);
