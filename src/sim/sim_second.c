/*
 * sim_second.c - two coordinators at the same store: the old one stands still, or merely was taken
 * for dead, another is started, and the old one goes on.
 *
 * On one machine the lock keeps the second one out. On another (a disk that both see) there is only
 * the epoch: from the moment in which the second has raised it, nothing that the old one decides
 * may become durable. Each is a struct server; the one that something happens to is the world's
 * for that long, so that all other files know one coordinator only.
 */
#include "sim/sim_internal.h"

enum { STANDS_STILL_S_MAX = 30 };

/* What happens to the world happens to no process. */
static bool is_of_world(enum happening_kind kind)
{
    return kind == HAPPEN_OPERATE || kind == HAPPEN_STOP || kind == HAPPEN_START ||
           kind == HAPPEN_PARTITION || kind == HAPPEN_DISK_FAULT || kind == HAPPEN_SECOND ||
           kind == HAPPEN_HEAL;
}

bool second_is_meant(const struct world *w, const struct happening *happening)
{
    return happening->process == COORDINATOR && w->old.process.up &&
           happening->incarnation == w->old.process.incarnation && !is_of_world(happening->kind);
}

void second_change(struct world *w)
{
    const struct server other = w->old;
    w->old = w->server;
    w->server = other;
    w->is_old_running = !w->is_old_running;
}

void second_start(struct world *w, bool is_locked)
{
    const struct process old = w->server.process;
    if (w->healed || !old.up || w->old.process.up)
        return;
    w->result->happened[SIM_ZOMBIE]++;
    if (is_locked) {
        sim_narrate(w, "a second coordinator finds the lock taken, and ends");
        return;
    }
    const bool stands_still = random_below(&w->random, 3) > 0;
    w->old = w->server;
    w->server = (struct server){.process = {.drift_ppm = old.drift_ppm}};
    server_open(w);
    if (stands_still && old.stopped_ns < w->now_ns)
        w->old.process.stopped_ns =
            w->now_ns + 1 + random_below(&w->random, STANDS_STILL_S_MAX * SECOND);
    sim_narrate(w, "another coordinator is started; the old one %s",
                stands_still ? "stands still" : "goes on");
    server_start(w);
}

void second_kill(struct world *w)
{
    if (w->old.members == nullptr)
        return;
    second_change(w);
    sim_narrate(w, "the old coordinator has ended");
    if (w->server.process.up)
        server_kill(w, 0);
    server_close(w);
    second_change(w);
}

uint32_t second_reached(struct world *w)
{
    const bool is_old = w->old.process.up && random_below(&w->random, 3) == 0;
    return is_old ? w->old.process.incarnation : w->server.process.incarnation;
}

bool second_is_fenced(const struct world *w)
{
    return w->server.machine.epoch != w->epoch_raised;
}

void oracle_chain(struct world *w, const struct record_head *head, const struct digest *id)
{
    if (head->epoch != w->epoch_raised)
        sim_fail(w, "version %llu is committed in epoch %llu; the store is at %llu",
                 (unsigned long long)head->number, (unsigned long long)head->epoch,
                 (unsigned long long)w->epoch_raised);
    if (head->number + 1 != w->result->versions ||
        (head->number > 0 && !digest_equal(&head->parent_id, &w->last_commit)))
        sim_fail(w, "version %llu does not follow the one that was committed before",
                 (unsigned long long)head->number);
    w->last_commit = *id;
}
