/*
 * sim_disk.c - how disks fail: a write that fails, one that fails and is durable all the same, a
 * disk that is full for a while, a bit that is read wrong.
 */
#include "sim/sim_internal.h"

enum disk_fault {
    DISK_FAILS,      /* one write, and nothing of it is there */
    DISK_SYNC_FAILS, /* nobody knows what is there: all of it */
    DISK_IS_FULL,
    DISK_FLIPS, /* a bit, when a model is read */
    DISK_FAULT_COUNT,
};

enum { FULL_S_MAX = 10 };

void disk_breaks(struct world *w)
{
    const uint32_t countdown = 1 + (uint32_t)random_below(&w->random, 3);
    switch ((enum disk_fault)random_below(&w->random, DISK_FAULT_COUNT)) {
    case DISK_FAILS:
        store_memory_fail(w->store, countdown, STATUS_IO);
        break;
    case DISK_SYNC_FAILS:
        store_memory_fail_late(w->store, countdown, STATUS_IO);
        break;
    case DISK_IS_FULL:
        w->disk_full_ns = w->now_ns + 1 + random_below(&w->random, FULL_S_MAX * SECOND);
        sim_narrate(w, "the coordinator's disk is full until %.3f s",
                    (double)w->disk_full_ns / 1e9);
        break;
    case DISK_FLIPS:
        w->flips = countdown;
        store_memory_fail(w->store, countdown, STATUS_IO); /* so that they are read */
        break;
    case DISK_FAULT_COUNT:
        CHECK(!"a fault");
    }
}

void disk_heals(struct world *w)
{
    store_memory_fail(w->store, 0, STATUS_OK);
    w->disk_full_ns = 0;
    w->flips = 0;
}

void disk_prepare(struct world *w)
{
    if (w->now_ns < w->disk_full_ns)
        store_memory_fail(w->store, 1, STATUS_NO_SPACE);
}

void disk_flip(struct world *w, uint8_t *bytes, size_t size)
{
    if (w->flips == 0)
        return;
    w->flips--;
    bytes[random_below(&w->random, size)] ^= (uint8_t)(1u << random_below(&w->random, 8));
}

enum status node_disk_write(struct world *w, uint32_t index, bool *ret_reached)
{
    *ret_reached = true;
    if (!sim_strikes(w, SIM_NODE_DISK, w->node_disk_faults_left > 0 ? 0.1 : 0))
        return STATUS_OK;
    w->node_disk_faults_left--;
    *ret_reached = random_below(&w->random, 2) == 0;
    const enum status status = random_below(&w->random, 2) == 0 ? STATUS_IO : STATUS_NO_SPACE;
    sim_narrate(w, "%s cannot write: %s", sim_who(index), status_text(status));
    return status;
}
