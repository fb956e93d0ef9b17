/*
 * trainer_keeper.h - the process between a node and its external trainer: starts the trainer within
 * its limits, tells how it ended, and leaves nothing of it behind, whoever dies first.
 *
 * A process of its own, because only a parent can kill without doubt about whom, can collect
 * orphans, and is there when the node is not: where the node's end of the control socket closes,
 * all that the trainer started is killed. Not here: what is said to a trainer (trainer_external.c).
 */
#pragma once

#include <stdint.h>

enum {
    KEEPER_CONTROL_FD =
        3, /* SOCK_SEQPACKET: from the node a KEEPER_... byte, to it a wait status */
    KEEPER_TERMINATE = 'T', /* SIGTERM to the trainer's process group */
    KEEPER_KILL = 'K',      /* SIGKILL to all */
};

/* The limits within which a trainer runs. */
struct trainer_limits {
    uint64_t memory_bytes; /* of data of each process (RLIMIT_DATA); 0 none */
    uint32_t cpus;         /* processors it may run on; 0 all */
    uint32_t cpu_first;    /* the place of the first of them among those there are, round and round
                            */
    uint32_t nice;         /* added to the niceness, 0 to 19 */
};

/* The arguments by which a program becomes a keeper: those of trainer_keeper_main. */
enum { KEEPER_ARGUMENTS = 5 };

/*
 * Runs a keeper: arguments is memory_bytes, cpus, cpu_first, nice, and the command for /bin/sh -c;
 * descriptors 0 to 2 are the trainer's, KEEPER_CONTROL_FD is the control socket. Gives the exit
 * code, 2 for wrong arguments.
 */
int trainer_keeper_main(int argc, char **arguments);
