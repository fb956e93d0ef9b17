/*
 * control_target.h - the options that say which coordinator an operator's command is for, and
 * asking it.
 */
#pragma once

#include "admin/control_client.h"
#include "cli/options.h"
#include "host/config.h"
#include "host/run_setup.h"

enum {
    CONTROL_TARGET_OPTIONS = 7, /* rows that control_target_options fills */
    /* Exit codes of the operator's commands beside 0, EXIT_FAILURE (1) and EXIT_USAGE (2). */
    EXIT_DIVERGED_JOB = 3, /* status --watch: the job diverged, as `fedra up` says it */
    EXIT_UNREACHABLE = 4,  /* no connection, or no answer in time */
    EXIT_DENIED = 5,       /* the identity is none, or not an operator's here */
    EXIT_NOT_FOUND = 6,    /* no such member */
    EXIT_NOT_POSSIBLE = 7, /* the job has ended, or another job runs there */
};

struct control_target {
    const char *config;
    const char *run_dir;
    const char *connect;
    const char *identity;
    const char *job_wanted;
    uint64_t timeout_s;
    bool json;
    /* What follows from them. */
    char host[CONFIG_ADDRESS_MAX];
    uint16_t port;
    char folder[RUN_PATH_MAX + 32]; /* of the identity */
    char job[CONFIG_NAME_MAX];      /* empty: whichever runs there */
};

/* Rows for -c, --run-dir, --connect, --identity, --job, --timeout and --json, and their defaults.
 */
void control_target_options(struct control_target *target,
                            struct option_spec ret_specs[static CONTROL_TARGET_OPTIONS]);

/* What a usage line says of them. */
#define CONTROL_TARGET_USAGE "(--run-dir DIR | -c FILE | --connect HOST:PORT --identity DIR)"

/* How the help ends. */
#define CONTROL_TARGET_HELP                                                                        \
    "--run-dir is the folder of a `fedra up`; of a configuration node.connect (else "              \
    "server.listen), job.name and identity.directory are used. The identity must be an "           \
    "operator's (`fedra ca issue --role operator`).\n\nExit code: 0 done, 1 a fault, 2 wrong "     \
    "usage, 4 not reachable or no answer in time, 5 the identity is not taken"

/*
 * Finds address, identity and job. Gives -1 to go on, else the exit code, after the mistake was
 * written to standard error.
 */
int control_target_resolve(struct control_target *target, const char *who);

/* The client's options of a target. */
struct control_client_options control_target_client(const struct control_target *target);

/* Writes what failed to standard error; the exit code for it. */
int control_target_fail(const struct control_target *target, const char *who, enum status status,
                        const struct error *err);

/*
 * Asks for a status by a method of that kind of request. -1 where it came, else the exit code after
 * the mistake was written.
 */
int control_target_ask_status(struct control_target *target, const char *who, const char *method,
                              struct control_status *ret_status);
