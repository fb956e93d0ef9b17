/*
 * sim_network.c - connections over which everything goes, or with which it is lost.
 *
 * A connection is as one of TCP: what is sent over it arrives, or the connection breaks. Directives
 * keep their order; calls and their answers are streams of their own and may overtake them.
 */
#include "sim/sim_internal.h"

enum { PATIENCE_S = 10 }; /* how long a silent connection is kept: mesh/ ends it then */

/* Until when nothing passes in that direction; 0: it passes. */
static uint64_t cut_until(const struct world *w, uint32_t node, bool up)
{
    return !w->healed && w->now_ns < w->cut_ns && (up ? w->cut_up : w->cut_down)[node] ? w->cut_ns
                                                                                       : 0;
}

/* When a message that is sent now arrives; 0: never. */
static uint64_t arrival(struct world *w, uint32_t node, bool up, uint64_t bytes)
{
    const uint64_t until_ns = cut_until(w, node, up);
    /* What links lose does not heal. */
    if (w->links != nullptr && w->plan->loss > 0 && random_unit(&w->random) < w->plan->loss)
        return 0;
    if (w->links == nullptr && sim_strikes(w, SIM_LOSS, w->plan->loss))
        return 0;
    if (until_ns == 0)
        return w->links != nullptr ? links_arrival(w, node, up, bytes) : w->now_ns + sim_delay(w);
    w->result->happened[SIM_PARTITION]++;
    return until_ns > w->now_ns + PATIENCE_S * SECOND ? 0 : until_ns + sim_delay(w);
}

static uint64_t time_to_learn(struct world *w)
{
    return sim_strikes(w, SIM_HALF_OPEN, (w->plan->faults & 1u << SIM_HALF_OPEN) != 0 ? 0.3 : 0)
               ? random_below(&w->random, 2 * PATIENCE_S * SECOND)
               : sim_delay(w);
}

void sim_break(struct world *w, uint64_t session)
{
    struct session *const s = &w->sessions[session];
    if (session == 0 || s->broken)
        return;
    s->broken = true;
    w->nodes[s->node].sessions--;
    struct happening *const lost = sim_happening(w, HAPPEN_LOST, s->node, time_to_learn(w));
    lost->incarnation = s->node_incarnation;
    lost->session = session;
    sim_push(w, lost);
    struct happening *const leave = sim_happening(w, HAPPEN_LEAVE, COORDINATOR, time_to_learn(w));
    leave->incarnation = s->incarnation;
    leave->session = session;
    sim_push(w, leave);
}

void sim_dial_failed(struct world *w, const struct happening *join, uint64_t after_ns)
{
    struct happening *const lost = sim_happening(w, HAPPEN_LOST, join->node, after_ns);
    lost->incarnation = (uint32_t)join->work_id;
    sim_push(w, lost); /* of session 0: it has none yet */
}

/* What it is on the wire, nearly. */
static uint64_t size_of(const struct world *w, const struct happening *message)
{
    return message->bytes.size + (message->payload != nullptr ? w->layout->bytes : 0) +
           (message->model != nullptr ? message->model->size : 0);
}

void sim_send_up(struct world *w, struct happening *happening)
{
    const uint64_t bytes = size_of(w, happening);
    const uint64_t at_ns = arrival(w, happening->node, true, bytes);
    w->bytes_in += bytes;
    const bool is_join = happening->kind == HAPPEN_JOIN;
    happening->process = COORDINATOR;
    happening->incarnation =
        is_join ? second_reached(w) : w->sessions[happening->session].incarnation;
    if (at_ns != 0 && (is_join || !w->sessions[happening->session].broken)) {
        happening->at_ns = at_ns;
        sim_push(w, happening);
        return;
    }
    if (is_join)
        sim_dial_failed(w, happening, PATIENCE_S * SECOND);
    else
        sim_break(w, happening->session);
    sim_happening_free(happening);
}

void sim_send_down(struct world *w, struct happening *happening, bool in_order)
{
    struct session *const s = &w->sessions[happening->session];
    const uint64_t bytes = size_of(w, happening);
    const uint64_t at_ns =
        happening->session == 0 || s->broken ? 0 : arrival(w, s->node, false, bytes);
    w->bytes_out += at_ns != 0 ? bytes : 0;
    if (at_ns == 0) {
        sim_break(w, happening->session);
        sim_happening_free(happening);
        return;
    }
    happening->process = s->node;
    happening->incarnation = s->node_incarnation;
    happening->at_ns = at_ns;
    if (in_order && at_ns <= s->last_ns)
        happening->at_ns = s->last_ns + 1;
    if (in_order)
        s->last_ns = happening->at_ns;
    sim_push(w, happening);
}

/* Any set of nodes, for a while. */
void sim_cut(struct world *w, bool both_ways)
{
    const double share = random_unit(&w->random);
    const bool up = both_ways || random_below(&w->random, 2) == 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->plan->nodes; i++) {
        const bool is_cut = random_unit(&w->random) < share;
        w->cut_up[i] = is_cut && up;
        w->cut_down[i] = is_cut && (both_ways || !up);
        count += is_cut;
    }
    w->cut_ns = w->now_ns + 1 + random_below(&w->random, 15 * SECOND);
    sim_narrate(w, "%u nodes are cut off %s until %.3f s", count,
                both_ways ? "in both directions"
                : up      ? "towards the coordinator"
                          : "from the coordinator",
                (double)w->cut_ns / 1e9);
}
