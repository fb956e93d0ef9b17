/*
 * fault_plan.c - one shuffle of the nodes: the first are slow, the last are killed.
 */
#include "host/fault_plan.h"

#include "base/random.h"

#include <stdlib.h>

enum { STREAM_FAULTS = 0x6661756c }; /* "faul": a stream of random numbers of its own */

/* The share of nodes, rounded down; 1e-9: 0.29 * 100 is 29. */
static uint32_t share_of(double share, uint32_t nodes)
{
    return (uint32_t)(share * nodes + 1e-9);
}

enum status fault_plan_draw(const struct config *config, uint32_t nodes,
                            struct fault_plan *ret_plans, struct error *err)
{
    struct random random;
    uint32_t *const order = malloc(sizeof(*order) * (nodes > 0 ? nodes : 1));
    if (order == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %u nodes", nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        order[i] = i;
        ret_plans[i] = (struct fault_plan){0};
    }
    random_init(&random, config->job.seed, STREAM_FAULTS, 0);
    random_shuffle_u32(&random, order, nodes);
    const uint32_t slow = share_of(config->faults.slow.share, nodes);
    const uint32_t killed = share_of(config->faults.kill.share, nodes);
    for (uint32_t i = 0; i < slow; i++)
        ret_plans[order[i]].slow = true;
    for (uint32_t i = 0; i < killed; i++)
        ret_plans[order[nodes - 1 - i]].killed = true;
    free(order);
    return STATUS_OK;
}
