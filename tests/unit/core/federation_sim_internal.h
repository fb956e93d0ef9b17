/*
 * federation_sim_internal.h - the simulated world, shared by its files: what happens next, what is
 * durable, who is connected.
 */
#pragma once

#include "federation_sim.h"

#include "base/check.h"
#include "base/random.h"

enum {
    ROUNDS_MAX = 64,
};

#define ms                  UINT64_C(1000000) /* in ns */
#define virtual_time_max_ns (3600 * 1000 * ms)

enum happening_kind {
    TO_COORDINATOR, /* an event, if the incarnation still lives */
    TO_NODE,        /* likewise */
    DURABLE_EPOCH,  /* then the completion is sent */
    DURABLE_COMMIT,
    DURABLE_OUTCOME,
    DURABLE_PAUSE,
    OPERATE, /* the job is paused or resumed, again where the coordinator did not take it */
    DURABLE_NODE_EPOCH,
    DURABLE_UPDATE,
    RECALL,
    DIAL,      /* a node's connection attempt arrives */
    DIRECTIVE, /* an event for a node over a connection */
    PUSH,      /* an update arrives */
    VERIFIED,  /* and its signature was checked */
    BREAK,     /* a connection breaks */
    START_COORDINATOR,
    START_NODE,
    CRASH_NODE,
};

/* What the store is told of a member; as host/coordinator_commit.c gathers it. */
struct row {
    bool is_known;
    bool active;
    bool in_set;
    struct member_history history;
    struct update_key key; /* in_set */
};

/* What a commit makes durable. */
struct commit_rows {
    struct convergence convergence;
    struct version_ref candidate;
    struct row rows[]; /* by node */
};

struct happening {
    uint64_t at_ns;
    uint64_t order;
    enum happening_kind kind;
    uint32_t node;
    uint32_t incarnation;
    uint64_t session;
    uint64_t epoch; /* of a commit or an epoch to be made durable */
    struct coordinator_event event;
    struct node_event node_event;
    struct coordinator_effect effect;
    struct commit_rows *commit; /* DURABLE_COMMIT: owned */
};

struct connection {
    uint32_t node;
    uint32_t node_incarnation;
    bool open;
    bool broken;      /* a directive was lost: nothing after it arrives */
    uint64_t last_ns; /* directives keep their order */
};

struct ticket {
    uint32_t node;
    uint32_t incarnation;
    uint64_t push_id; /* 0: nobody waits */
};

struct committed {
    bool used;
    uint64_t epoch;
    struct version_ref version;
};

/* A payload that the coordinator's shell holds. */
struct held_blob {
    bool live;
    uint32_t node;
    uint64_t round;
    struct digest digest;
};

struct sim_node {
    char name[32];
    struct node machine;
    uint32_t incarnation;
    bool up;
    bool done;
    uint64_t timer_ns;
    uint64_t session; /* the connection that is open; 0 none */
    uint64_t push_id;
    uint64_t slowness;     /* its training takes so many times as long */
    uint64_t work_done_id; /* of the work that completed last */
    /* Durable. */
    uint64_t epoch_seen;
    struct kept_update kept;
    /* For the oracle, by round: digests acknowledged to the node, and settled. */
    struct digest acknowledged[ROUNDS_MAX];
    bool is_acknowledged[ROUNDS_MAX];
    bool is_settled[ROUNDS_MAX];
    bool is_counted[ROUNDS_MAX]; /* by a commit */
    struct digest counted[ROUNDS_MAX];
    uint64_t counted_in[ROUNDS_MAX]; /* the version */
    bool is_undone[ROUNDS_MAX];      /* by the commit that restored an older version */
    bool is_dropped[ROUNDS_MAX];     /* as the node noted */
    struct digest dropped[ROUNDS_MAX];
    struct row row; /* durable at the coordinator */
};

struct world {
    struct sim_settings settings;
    struct sim_result result;
    struct random random;
    uint64_t now_ns;
    uint64_t order;
    struct happening *heap;
    uint32_t heap_count;
    uint32_t heap_capacity;
    struct coordinator coordinator;
    struct member *members;
    uint32_t *roster_order;
    bool up;
    bool exited;
    uint32_t incarnation;
    uint64_t timer_ns;
    struct sim_node *nodes;
    struct connection *connections; /* index is the session, from 1 */
    uint64_t sessions;
    uint64_t connections_capacity;
    struct ticket *tickets; /* index is the number, from 1; 0: nobody's */
    uint64_t ticket_count;
    uint64_t tickets_capacity;
    uint32_t crashes_left;
    uint32_t node_crashes_left;
    /* Durable at the coordinator. */
    uint64_t epoch;
    bool has_version;
    struct version_ref version;
    uint64_t open_round;
    enum outcome outcome;
    bool paused;
    struct convergence convergence;
    struct committed committed[ROUNDS_MAX]; /* by number, which is the round */
    /* What the operator wants. */
    bool wants_pause;
    /* In the coordinator's memory; gone with it. */
    bool asked_pause;        /* the last that it was asked for */
    bool told_paused;        /* the last that it heard to be durable */
    struct held_blob *blobs; /* index is the id, from 1 */
    uint64_t blob_count;
    uint64_t blobs_capacity;
    uint64_t blobs_live;
    struct held_blob *folded; /* into the accumulator since the last FX_CLOSE, by node */
    struct held_blob *closed; /* what the last FX_CLOSE found there */
};

/* federation_sim_oracle.c: notes what the machines must not do. */
__attribute__((format(printf, 2, 3))) void sim_violation(struct world *w, const char *format, ...);
/* After each step, before its effects: whether the coordinator's state is as it promises. */
void sim_check_machine(struct world *w, const struct traces *traces);
void sim_blob_arrives(struct world *w, struct coordinator_event *event);
void sim_blob_released(struct world *w, uint64_t id);
void sim_blob_folded(struct world *w, uint32_t member, uint64_t id);
void sim_accumulator_closed(struct world *w);
void sim_check_commit(struct world *w, const struct commit_rows *commit);
void sim_check_beacon(struct world *w, uint64_t session);
/* The coordinator's memory is gone. */
void sim_forget_blobs(struct world *w);

bool sim_faults_are_over(const struct world *w);
/* What validation measures of the model of that round. */
struct coordinator_event sim_validated(const struct world *w, uint64_t round);

void sim_name_of(uint32_t node, char ret[static 32]);
uint32_t sim_node_of(const char *name);
struct digest sim_make_digest(uint64_t a, uint64_t b, uint64_t c);
/* Room for index in an array of elements of that size; what is new is zero. */
void *sim_grow(void *array, uint64_t *capacity, uint64_t index, size_t size);
uint64_t sim_load_first(const struct digest *digest);
void sim_push_happening(struct world *w, struct happening happening);
struct happening sim_pop_happening(struct world *w);
uint64_t sim_delay(struct world *w);
struct happening sim_at(struct world *w, enum happening_kind kind, uint64_t delay_ns);
void sim_tell(struct world *w, const struct traces *traces, const char *who);
void sim_narrate(struct world *w, const char *who, const char *what);
bool sim_lost(struct world *w);
void sim_break_connection(struct world *w, uint64_t session);
void sim_send_directive(struct world *w, uint64_t session, const struct node_event *event);
void sim_complete(struct world *w, const struct coordinator_effect *effect,
                  struct coordinator_event event);
void sim_check_durable(struct world *w, const struct version_ref *version);
void sim_send_beacon(struct world *w, uint64_t session);
void sim_send_settled(struct world *w, uint64_t session, bool counted, const struct update_key *key,
                      uint64_t number, enum reason reason);
void sim_answer_ticket(struct world *w, uint64_t id, bool accepted, enum reason reason);
void sim_step_coordinator(struct world *w, struct coordinator_event event);
void sim_node_complete(struct world *w, uint32_t index, enum happening_kind kind, uint64_t delay_ns,
                       const struct node_event *event);
void sim_step_node(struct world *w, uint32_t index, struct node_event event);
