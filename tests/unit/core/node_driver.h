/*
 * node_driver.h - one node's machine, and what its last step asked for. For the node's tests only.
 */
#pragma once

#include "core/node.h"

#include "testing.h"

#include <string.h>

static struct node n;
static struct node_effects fx;
static uint64_t now; /* of the next step */

static inline void step(struct node_event event)
{
    event.now_ns = now;
    node_step(&n, &event, &fx);
}

/* The first of that kind; null where there is none. */
static inline const struct node_effect *effect(enum node_effect_kind kind)
{
    for (uint32_t i = 0; i < fx.count; i++) {
        if (fx.items[i].kind == kind)
            return &fx.items[i];
    }
    return nullptr;
}

static inline const struct node_effect *must(enum node_effect_kind kind)
{
    const struct node_effect *const found = effect(kind);
    assert_non_null(found);
    return found;
}

static inline struct digest digest(uint8_t fill)
{
    struct digest made;
    memset(made.bytes, fill, sizeof(made.bytes));
    return made;
}
