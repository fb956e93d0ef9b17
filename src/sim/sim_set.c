/*
 * sim_set.c - the numbers of a plan by their names; delta debugging over them (Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002, over strengths instead of
 * characters).
 */
#include "sim/sim_set.h"

#include "base/check.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_U32,
    KIND_U64,
    KIND_SECONDS, /* of ns */
    KIND_SHARE,
    KIND_FAULT, /* a bit of faults: 0 or 1 */
    KIND_BOOL,
};

struct field {
    const char *name;
    enum kind kind;
    size_t offset; /* KIND_FAULT: the fault */
    double least;
    double most;
};

#define AT(member) offsetof(struct sim_plan, member)

/* In the order in which they are made smaller: who fails first, then how long, then who is there.
 * What ends a run is made longer by no one: a run that is cut short fails by itself. */
static const struct field fields[] = {
    {"crashes", KIND_U32, AT(crashes), 0, 1000000},
    {"node_crashes", KIND_U32, AT(node_crashes), 0, 1000000},
    {"disk_faults", KIND_U32, AT(disk_faults), 0, 1000000},
    {"node_disk_faults", KIND_U32, AT(node_disk_faults), 0, 1000000},
    {"zombies", KIND_U32, AT(zombies), 0, 1000000},
    {"partitions", KIND_U32, AT(partitions), 0, 1000000},
    {"stops", KIND_U32, AT(stops), 0, 1000000},
    {"pauses", KIND_U32, AT(pauses), 0, 1000000},
    {"loss", KIND_SHARE, AT(loss), 0, 1},
    {"duplication", KIND_SHARE, AT(duplication), 0, 1},
    {"slow_share", KIND_SHARE, AT(slow_share), 0, 1},
    {"half_open", KIND_FAULT, SIM_HALF_OPEN, 0, 1},
    {"skew", KIND_FAULT, SIM_SKEW, 0, 1},
    {"rotate", KIND_FAULT, SIM_ROTATE, 0, 1},
    {"liars", KIND_U32, AT(liars), 0, SIM_NODES_MAX},
    {"suspicion", KIND_SHARE, AT(suspicion), 0, 1},
    {"diverges_at", KIND_U64, AT(diverges_at), 0, 1000000},
    {"cancelled_s", KIND_SECONDS, AT(cancelled_ns), 0, 1000000},
    {"nodes", KIND_U32, AT(nodes), 1, SIM_NODES_MAX},
    {"rounds", KIND_U64, AT(machine.rounds_max), 1, 1000000},
    {"max_staleness", KIND_U32, AT(machine.max_staleness), 1, STALENESS_MAX},
    {"cooldown_rounds", KIND_U32, AT(machine.cooldown_rounds), 0, 1000000},
    {"models_keep", KIND_U32, AT(models_keep), 0, 1000000},
    {"mldsa", KIND_BOOL, AT(is_mldsa), 0, 1},
    {"heal_s", KIND_SECONDS, AT(heal_ns), 1, 1000000},
    {"end_s", KIND_SECONDS, AT(end_ns), 0.001, 100000000},
};

enum { FIELDS = sizeof(fields) / sizeof(*fields) };

static const char ends[] = "end_s";

uint32_t sim_set_count(void)
{
    return FIELDS;
}

const char *sim_set_name(uint32_t index)
{
    return fields[index].name;
}

double sim_set_get(const struct sim_plan *plan, uint32_t index)
{
    const struct field *const field = &fields[index];
    const char *const place = (const char *)plan + field->offset;
    uint32_t small = 0;
    uint64_t large = 0;
    double share = 0;
    bool is_so = false;
    switch (field->kind) {
    case KIND_U32:
        memcpy(&small, place, sizeof(small));
        return small;
    case KIND_U64:
        memcpy(&large, place, sizeof(large));
        return (double)large;
    case KIND_SECONDS:
        memcpy(&large, place, sizeof(large));
        return (double)large / 1e9;
    case KIND_SHARE:
        memcpy(&share, place, sizeof(share));
        return share;
    case KIND_FAULT:
        return plan->faults >> field->offset & 1;
    case KIND_BOOL:
        memcpy(&is_so, place, sizeof(is_so));
        return is_so;
    }
    CHECK(!"a field");
}

/* What is drawn to fit the nodes and the healing still fits. */
static void make_fit(struct sim_plan *plan)
{
    struct coordinator_settings *const machine = &plan->machine;
    if (plan->liars > plan->nodes - 1)
        plan->liars = plan->nodes - 1;
    if (machine->start_nodes > plan->nodes)
        machine->start_nodes = plan->nodes;
    if (machine->min_updates > plan->nodes - plan->liars)
        machine->min_updates = plan->nodes - plan->liars;
}

static void set(struct sim_plan *plan, uint32_t index, double value)
{
    const struct field *const field = &fields[index];
    char *const place = (char *)plan + field->offset;
    const uint32_t small = field->kind == KIND_U32 ? (uint32_t)value : 0;
    const bool is_so = value != 0;
    const uint64_t large = (uint64_t)(field->kind == KIND_SECONDS ? value * 1e9 + 0.5 : value);
    switch (field->kind) {
    case KIND_U32:
        memcpy(place, &small, sizeof(small));
        break;
    case KIND_U64:
    case KIND_SECONDS:
        memcpy(place, &large, sizeof(large));
        break;
    case KIND_SHARE:
        memcpy(place, &value, sizeof(value));
        break;
    case KIND_FAULT:
        plan->faults &= ~(1u << field->offset);
        plan->faults |= (uint32_t)value << field->offset;
        break;
    case KIND_BOOL:
        memcpy(place, &is_so, sizeof(is_so));
        break;
    }
    make_fit(plan);
}

static uint32_t find(const char *name, size_t size)
{
    uint32_t i = 0;
    while (i < FIELDS &&
           (strlen(fields[i].name) != size || memcmp(fields[i].name, name, size) != 0))
        i++;
    return i;
}

bool sim_set_parse(struct sim_plan *plan, const char *text, char ret_error[128])
{
    while (*text != 0) {
        const size_t size = strcspn(text, "=,");
        const uint32_t index = find(text, size);
        if (index == FIELDS || text[size] != '=') {
            snprintf(ret_error, 128, "write NAME=NUMBER,...; \"%.*s\" is none of the names",
                     (int)size, text);
            return false;
        }
        const struct field *const field = &fields[index];
        const char *const number = text + size + 1;
        char *end = nullptr;
        const double value = strtod(number, &end);
        const bool is_whole = field->kind == KIND_SHARE || field->kind == KIND_SECONDS ||
                              value == (double)(uint64_t)value;
        if (end == number || (*end != 0 && *end != ',') || !(value >= field->least) ||
            value > field->most || !is_whole) {
            snprintf(ret_error, 128, "%s must be a %snumber from %g to %g", field->name,
                     field->kind == KIND_SHARE || field->kind == KIND_SECONDS ? "" : "whole ",
                     field->least, field->most);
            return false;
        }
        set(plan, index, value);
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* A smaller number to try; the same where there is none. */
static double halve(const struct field *field, double value)
{
    const double half = field->least + (value - field->least) / 2;
    if (field->kind == KIND_SHARE)
        return value > 0.01 ? half : value;
    return field->kind == KIND_SECONDS ? (value > 1 ? half : value) : (double)(uint64_t)half;
}

struct shrinking {
    bool (*fails)(void *context, const struct sim_plan *plan);
    void *context;
    uint32_t runs;
    uint32_t runs_max;
};

static bool try(struct shrinking *s, struct sim_plan *plan, uint32_t index, double value)
{
    struct sim_plan smaller = *plan;
    if (value >= sim_set_get(plan, index) || s->runs >= s->runs_max)
        return false;
    set(&smaller, index, value);
    s->runs++;
    if (!s->fails(s->context, &smaller))
        return false;
    *plan = smaller;
    return true;
}

/* To its least; by half for as long as it fails; then by one. */
static bool shrink_one(struct shrinking *s, struct sim_plan *plan, uint32_t index)
{
    const struct field *const field = &fields[index];
    if (strcmp(field->name, ends) == 0)
        return false;
    if (try(s, plan, index, field->least))
        return true;
    bool is_smaller = false;
    while (try(s, plan, index, halve(field, sim_set_get(plan, index))))
        is_smaller = true;
    while (field->kind != KIND_SHARE && field->kind != KIND_SECONDS &&
           sim_set_get(plan, index) > field->least &&
           try(s, plan, index, sim_set_get(plan, index) - 1))
        is_smaller = true;
    return is_smaller;
}

uint32_t sim_shrink(struct sim_plan *plan, bool (*fails)(void *context, const struct sim_plan *),
                    void *context, uint32_t runs_max)
{
    struct shrinking s = {.fails = fails, .context = context, .runs_max = runs_max};
    bool is_smaller = true;
    while (is_smaller && s.runs < runs_max) {
        is_smaller = false;
        for (uint32_t i = 0; i < FIELDS; i++)
            is_smaller |= shrink_one(&s, plan, i);
    }
    return s.runs;
}

void sim_set_write(const struct sim_plan *drawn, const struct sim_plan *plan, char *ret_text,
                   size_t capacity)
{
    size_t size = 0;
    ret_text[0] = 0;
    for (uint32_t i = 0; i < FIELDS; i++) {
        const double value = sim_set_get(plan, i);
        if (value == sim_set_get(drawn, i) || size >= capacity)
            continue;
        const int more = snprintf(ret_text + size, capacity - size, "%s%s=%.17g",
                                  size > 0 ? "," : "", fields[i].name, value);
        size += (size_t)more;
    }
    CHECK(size < capacity);
}
