/*
 * up_children.h - the processes of a run: the coordinator, those of the nodes, the authority.
 *
 * Not here: keeping them running (host/supervisor.c), what they read (host/run_setup.c).
 */
#pragma once

#include "host/run_setup.h"
#include "host/supervisor.h"

struct up_children {
    uint32_t count;
    struct child *children; /* [0] the coordinator, then the nodes', the authority, the central
                               training */
};

/*
 * Describes the processes of the run in folder, as the supervisor wants them.
 *
 * authority  the address that the authority listens on.
 *
 * IO, NO_MEMORY.
 */
[[nodiscard]] enum status up_children_init(struct up_children *children, const char *folder,
                                           const struct run_shape *shape, const char *authority,
                                           struct error *err);
void up_children_deinit(struct up_children *children);

static inline struct child *up_coordinator(struct up_children *children)
{
    return &children->children[0];
}

static inline struct child *up_authority(struct up_children *children)
{
    return &children->children[children->count - 2];
}

/* Trains the model in one place, after the job; writes RUN/central.json. */
static inline struct child *up_central(struct up_children *children)
{
    return &children->children[children->count - 1];
}
