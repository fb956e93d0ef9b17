/*
 * roster.c - the table of members, found by binary search over their names.
 */
#include "core/roster.h"

#include "base/check.h"

#include <string.h>

void roster_init(struct roster *roster, struct member *members, uint32_t *order, uint32_t capacity)
{
    CHECK(capacity > 0);
    memset(members, 0, sizeof(*members) * capacity);
    *roster = (struct roster){.members = members, .order = order, .capacity = capacity};
}

/* The first place in order whose name is not below name. */
static uint32_t lower_bound(const struct roster *roster, const char *name)
{
    uint32_t first = 0;
    uint32_t end = roster->count;
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        if (strcmp(roster->members[roster->order[middle]].name, name) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

uint32_t roster_find(const struct roster *roster, const char *name)
{
    const uint32_t at = lower_bound(roster, name);
    if (at == roster->count || strcmp(roster->members[roster->order[at]].name, name) != 0)
        return NO_MEMBER;
    return roster->order[at];
}

uint32_t roster_find_session(const struct roster *roster, uint64_t session)
{
    for (uint32_t i = 0; i < roster->capacity; i++) {
        if (roster->members[i].used && roster->members[i].session == session)
            return i;
    }
    return NO_MEMBER;
}

static void remove_at(struct roster *roster, uint32_t at)
{
    roster->members[roster->order[at]].used = false;
    memmove(roster->order + at, roster->order + at + 1,
            sizeof(*roster->order) * (roster->count - at - 1));
    roster->count--;
}

/* Who was flagged would come back as one of whom nothing is known. */
static bool forget_one(struct roster *roster, bool flagged)
{
    for (uint32_t at = 0; at < roster->count; at++) {
        const struct member *const member = &roster->members[roster->order[at]];
        if (member->session == 0 && !member->selected && !member->accepted && !member->waiting &&
            (member->reputation.flagged > 0) == flagged) {
            remove_at(roster, at);
            return true;
        }
    }
    return false;
}

static uint32_t free_index(const struct roster *roster)
{
    uint32_t index = 0;
    while (roster->members[index].used)
        index++;
    return index;
}

uint32_t roster_add(struct roster *roster, const char *name)
{
    const size_t size = strlen(name);
    CHECK(size < MEMBER_NAME_MAX);
    const uint32_t known = roster_find(roster, name);
    if (known != NO_MEMBER)
        return known;
    if (roster->count == roster->capacity && !forget_one(roster, false) &&
        !forget_one(roster, true))
        return NO_MEMBER;
    const uint32_t at = lower_bound(roster, name);
    const uint32_t index = free_index(roster);
    memmove(roster->order + at + 1, roster->order + at,
            sizeof(*roster->order) * (roster->count - at));
    roster->order[at] = index;
    roster->count++;
    roster->members[index] = (struct member){.used = true};
    memcpy(roster->members[index].name, name, size + 1);
    return index;
}

uint32_t roster_connected(const struct roster *roster)
{
    uint32_t connected = 0;
    for (uint32_t i = 0; i < roster->capacity; i++)
        connected += roster->members[i].used && roster->members[i].session != 0;
    return connected;
}
