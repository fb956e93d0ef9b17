/*
 * sim_links.c - how long a message is on its way: the latency of its node's link, and the time that
 * its bytes take over that link and over the coordinator's, which all share.
 *
 * Each link carries one message after another, each way for itself.
 */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdlib.h>

struct link {
    uint64_t latency_ns;
    uint64_t free_ns[2]; /* when it has carried all that it was given, up and down */
};

struct links {
    struct link *nodes;
    struct link coordinator;
    double node_ns_per_byte;
    double coordinator_ns_per_byte;
};

static double ns_per_byte(double mbit)
{
    return mbit > 0 ? 8e3 / mbit : 0;
}

static double draw_latency_ms(struct world *w)
{
    const struct sim_links *const plan = w->plan->links;
    switch (plan->latency) {
    case CONFIG_LATENCY_CONSTANT:
        break;
    case CONFIG_LATENCY_LOGNORMAL:
        return plan->latency_ms * exp(plan->latency_spread * random_normal(&w->random));
    case CONFIG_LATENCY_TABLE:
        return plan->table_ms[random_below(&w->random, plan->table_count)];
    }
    return plan->latency_ms;
}

void links_make(struct world *w)
{
    if (w->plan->links == nullptr)
        return;
    w->links = calloc(1, sizeof(*w->links));
    CHECK(w->links != nullptr);
    w->links->nodes = calloc(w->plan->nodes, sizeof(*w->links->nodes));
    CHECK(w->links->nodes != nullptr);
    w->links->node_ns_per_byte = ns_per_byte(w->plan->links->node_mbit);
    w->links->coordinator_ns_per_byte = ns_per_byte(w->plan->links->coordinator_mbit);
    for (uint32_t i = 0; i < w->plan->nodes; i++)
        w->links->nodes[i].latency_ns = (uint64_t)(draw_latency_ms(w) * 1e6);
}

void links_free(struct world *w)
{
    if (w->links != nullptr)
        free(w->links->nodes);
    free(w->links);
}

/* Over a link from then on; gives when it is through. */
static uint64_t carry(struct link *link, bool up, uint64_t from_ns, double ns)
{
    uint64_t *const free_ns = &link->free_ns[up];
    *free_ns = (*free_ns > from_ns ? *free_ns : from_ns) + (uint64_t)ns;
    return *free_ns;
}

uint64_t links_arrival(struct world *w, uint32_t node, bool up, uint64_t bytes)
{
    struct links *const links = w->links;
    struct link *const own = &links->nodes[node];
    const double own_ns = (double)bytes * links->node_ns_per_byte;
    const double shared_ns = (double)bytes * links->coordinator_ns_per_byte;
    /* The shared link first, whichever way: the order of sending is then its order too. */
    const uint64_t shared_end_ns = carry(&links->coordinator, up, w->now_ns, shared_ns);
    return carry(own, up, shared_end_ns, own_ns) + own->latency_ns + 1;
}
