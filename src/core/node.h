/*
 * node.h - the machine of a node: join, pull, train, sign and keep, offer, until it is counted.
 *
 * Pure, as coordinator.h. A node keeps one update; it is durable before it is offered and is
 * offered again until a later version shows that its round is closed for good. Not here: training
 * (train/), durability (store/outbox), the wire.
 */
#pragma once

#include "core/machine.h"

#include "base/random.h"

struct node_settings {
    uint64_t seed;         /* of the jitter of waits */
    uint64_t retry_min_ns; /* the first wait after a lost connection */
    uint64_t retry_max_ns; /* waits double up to this */
};

/* How far the kept update got. */
enum update_state {
    UPDATE_NONE,
    UPDATE_HELD,
    UPDATE_ACCEPTED,
    UPDATE_REFUSED, /* late, or busy: offered again only if its round opens again */
    UPDATE_SETTLED, /* counted, dropped, or refused for what it is: never offered again */
};

struct kept_update {
    enum update_state state;
    struct update_key key;
    struct digest base_id;
};

/* What a verified beacon says. */
struct beacon {
    uint64_t epoch;
    uint64_t round;
    uint32_t attempt;
    uint64_t remaining_ns; /* of the round, 0: no end */
    struct version_ref version;
};

enum node_event_kind {
    NODE_EV_START,
    NODE_EV_CONNECTED, /* welcomed: the Join stream is open */
    NODE_EV_LOST,      /* it is not, or never was */
    NODE_EV_BEACON,
    NODE_EV_EPOCH_PERSISTED, /* completes FX_RAISE */
    NODE_EV_PULLED,          /* completes PULL */
    NODE_EV_TRAINED,         /* completes TRAIN; CANCELLED after ABORT */
    NODE_EV_HELD,            /* completes HOLD */
    NODE_EV_RECEIPT,         /* completes PUSH */
    NODE_EV_COUNTED,
    NODE_EV_DROPPED,
    NODE_EV_OFFER, /* the kept update is wanted, though its round is closed */
    NODE_EV_FINISHED,
    NODE_EV_TIMER,
    NODE_EV_STOP,
};

struct node_event {
    enum node_event_kind kind;
    uint64_t now_ns;
    uint64_t id;
    enum status status;
    union {
        struct {
            uint64_t epoch_seen;
            struct kept_update kept;
        } start;
        /* CONNECTED: to the process that it was connected to before, whose accepted set lives on.
         */
        bool same_instance;
        struct beacon beacon;
        struct blob_ref blob;  /* PULLED: the model; TRAINED: the update's payload */
        struct update_key key; /* HELD */
        struct {
            bool accepted; /* status OK: an answer came */
            enum reason reason;
        } receipt;
        struct {
            struct update_key key;
            uint64_t version_number; /* COUNTED */
            enum reason reason;      /* DROPPED */
        } settled;                   /* OFFER: the key only */
        enum outcome outcome;
    };
};

enum node_effect_kind {
    NODE_FX_CONNECT, /* dial and join; the kept update is named in the request */
    NODE_FX_RAISE,   /* id, epoch: durable before anything of that epoch is believed */
    NODE_FX_PULL,    /* id, version */
    NODE_FX_TRAIN,   /* id, beacon, blob */
    NODE_FX_ABORT,   /* id: of the TRAIN or PULL under way; it still completes */
    NODE_FX_HOLD,    /* id, beacon, blob: sign and make durable */
    NODE_FX_PUSH,    /* id: the kept update */
    NODE_FX_NOTE,    /* note, key, reason: into the node's record */
    NODE_FX_RELEASE, /* blob */
    NODE_FX_TIMER,   /* deadline_ns; NO_DEADLINE stops it */
    NODE_FX_EXIT,    /* outcome; status where a local fault is the cause */
};

enum node_note { NOTE_ACCEPTED, NOTE_COUNTED, NOTE_DROPPED, NOTE_REFUSED };

struct node_effect {
    enum node_effect_kind kind;
    enum node_note note;
    enum reason reason;
    enum outcome outcome;
    enum status status;
    uint64_t id;
    uint64_t epoch;
    uint64_t version_number;
    uint64_t deadline_ns;
    struct update_key key;
    struct blob_ref blob;
    struct beacon beacon;
};

struct node_effects {
    uint32_t count;
    struct node_effect items[EFFECTS_MAX];
    struct traces traces;
};

enum node_work { WORK_NONE, WORK_PULLING, WORK_TRAINING, WORK_HOLDING };

struct node {
    struct node_settings settings;
    struct random random;
    uint64_t now_ns;
    uint64_t epoch_seen;
    uint64_t next_id;
    uint64_t work_id;
    uint64_t raise_id; /* 0: none under way */
    uint64_t raise_epoch;
    uint64_t push_id;      /* 0: none under way */
    bool push_is_outdated; /* the push under way is of the update before the kept one */
    uint64_t retry_ns;     /* the next wait */
    uint64_t deadline_ns;
    uint64_t timer_ns;
    bool connected;
    bool connecting;
    bool stopped;
    bool has_beacon;     /* the newest one believed */
    bool aborted;        /* what is under way is for an older round */
    bool asked_for_kept; /* the kept update is wanted without a beacon of its round */
    bool failed_work;    /* the work failed: tried again at the deadline */
    struct beacon beacon;
    struct beacon waiting; /* while raise_id: the newest, its epoch not durable yet */
    struct beacon working; /* the one that the work is for */
    enum node_work work;
    struct kept_update kept;
};

/* Makes a machine that waits for NODE_EV_START. Cannot fail. */
void node_init(struct node *node, const struct node_settings *settings);

/* Whether the kept update (node->kept) waits for COUNTED or DROPPED: a Join names it then. */
static inline bool node_awaits_settlement(const struct node *node)
{
    return node->kept.state == UPDATE_HELD || node->kept.state == UPDATE_ACCEPTED ||
           node->kept.state == UPDATE_REFUSED;
}

/* Applies time, then the event; writes the effects in the order in which they must be begun. */
void node_step(struct node *node, const struct node_event *event, struct node_effects *ret_effects);
