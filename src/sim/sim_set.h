/*
 * sim_set.h - the numbers of a plan by their names, so that a run can be told apart from what its
 * seed drew; and, of a plan that fails, the smallest that still does.
 */
#pragma once

#include "sim/sim.h"

/* How many there are; each one's name, static. */
uint32_t sim_set_count(void);
const char *sim_set_name(uint32_t index);

/* The number by its index; whole but for shares (loss, duplication, slow_share). */
double sim_set_get(const struct sim_plan *plan, uint32_t index);

/*
 * Sets numbers, "crashes=1,nodes=3"; what cannot hold any more with fewer nodes is cut down too.
 * text may be cut at its end where a name is unknown or its value out of range: false, and
 * ret_error (128 bytes) says which, and what would be right; the plan may be half set then.
 */
[[nodiscard]] bool sim_set_parse(struct sim_plan *plan, const char *text, char ret_error[128]);

/*
 * Makes the plan smaller for as long as fails(context, plan) is true of it (it is at the start):
 * each number in turn to its least, else by half, until none can be smaller. At most runs_max
 * calls. Gives how many calls it took.
 */
uint32_t sim_shrink(struct sim_plan *plan, bool (*fails)(void *context, const struct sim_plan *),
                    void *context, uint32_t runs_max);

/* Appends what differs between the plans as sim_set_parse takes it; "" where nothing does. */
void sim_set_write(const struct sim_plan *drawn, const struct sim_plan *plan, char *ret_text,
                   size_t capacity);
