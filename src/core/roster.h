/*
 * roster.h - the members of a job: who is known, connected, asked this round, heard of.
 *
 * Members have fixed indices; `order` lists them by the bytes of their names. Not here: what a
 * member's update is worth (coordinator.c), what of it is durable (the shell writes the names).
 */
#pragma once

#include "core/machine.h"
#include "core/reputation.h"

/* What FX_SETTLE tells a member; it stays until the next commit, so that the shell can read it. */
enum settlement {
    SETTLE_NOTHING,
    SETTLE_COUNTED, /* member.key is in the version */
    SETTLE_DROPPED, /* member.held is not: it came too late, its round was undone, or the member is
                       shut out */
};

/* What a node measured on its held-out samples: the model it received. */
struct update_report {
    double loss;
    double accuracy;
    uint64_t samples; /* 0: it reports nothing */
    bool has_accuracy;
};

struct member {
    char name[MEMBER_NAME_MAX];
    uint64_t session; /* the Join that is open; 0: away */
    bool used;
    bool selected;     /* asked in the open round */
    bool accepted;     /* its update is in the open round's accepted set */
    bool contributed;  /* its update is in the version committed last */
    bool expected;     /* there before a restart; neither back yet nor asked in vain */
    bool recalling;    /* what became of its last update is being looked up: no beacon before */
    bool held_pending; /* joined while the round was closing, holding an update for it */
    bool told;         /* heard the beacon of the open round over its present session */
    bool late;         /* its accepted update is for an older round */
    bool waiting;      /* its late update is held until the next round opens */
    bool folding;      /* its late update, which waited, is in the FX_FOLD_WAITING under way */
    bool stands_in;    /* late when the round closed: the server's momentum is counted for it */
    bool shut_out;     /* its late update, which waited, is dropped: FX_RELEASE_SHUT_OUT */
    bool flagged;      /* since the last commit; `flag` says why */
    enum settlement settlement;
    enum reason settlement_reason; /* of SETTLE_DROPPED */
    struct update_key held;
    uint64_t asked_round; /* the last one it was asked for; 0: none */
    uint64_t works_for;   /* the earlier round whose update it still makes, and which will be taken:
                             it is not asked; 0: none */
    /* Updates made for this round or before are counted no more: one was, or it was not known. */
    uint64_t counted_round;
    /* Of the update accepted last, or that waits. */
    struct update_key key;
    struct digest base_id;
    uint64_t samples;
    double loss;
    uint32_t weight_samples; /* min(samples, samples_max) */
    double staleness_weight; /* (0, 1]; 1: fresh */
    struct update_report report;
    struct blob_ref blob; /* while it waits, or is shut out */
    struct flag flag;
    struct reputation reputation;      /* as is durable */
    struct reputation next_reputation; /* as the commit under way makes it */
};

/*
 * Whether the next round reckons with it though it may be away, and so does one after a restart.
 * round: the one that is over.
 */
static inline bool member_stays(const struct member *member, uint64_t round)
{
    return member->accepted || member->session != 0 ||
           (member->expected && member->asked_round != round);
}

/* Whether the beacon of the open round goes to this member now. */
static inline bool member_hears_beacon(const struct member *member)
{
    return member->used && member->session != 0 && member->selected && !member->recalling;
}

/* Whether FX_FINISH goes to this member now; one whose last update is being looked up hears it
 * after. */
static inline bool member_hears_finish(const struct member *member)
{
    return member->used && member->session != 0 && !member->recalling;
}

struct roster {
    struct member *members; /* member[capacity], the caller's memory */
    uint32_t *order;        /* u32[capacity], the caller's memory; the first count are used */
    uint32_t capacity;
    uint32_t count;
};

/* Makes an empty roster over the caller's arrays of capacity each, 1 or more. Cannot fail. */
void roster_init(struct roster *roster, struct member *members, uint32_t *order, uint32_t capacity);

/* The index of that name; NO_MEMBER where it is not known. */
uint32_t roster_find(const struct roster *roster, const char *name);

/* The index of the member whose open session that is; NO_MEMBER. Linear in the capacity. */
uint32_t roster_find_session(const struct roster *roster, uint64_t session);

/*
 * The index of that name, added where it is new. A full roster forgets the first member (by name)
 * that is away and not asked this round, one that was never flagged before the others; NO_MEMBER
 * where there is none. name must be shorter than MEMBER_NAME_MAX (aborts).
 */
uint32_t roster_add(struct roster *roster, const char *name);

/* How many are connected. */
uint32_t roster_connected(const struct roster *roster);
