/*
 * sim_internal.h - the simulated world, shared by its files: what happens next, who runs, what is
 * durable, what the oracles know.
 */
#pragma once

#include "sim/sim.h"

#include "base/check.h"
#include "base/random.h"
#include "core/node.h"
#include "host/core_terms.h"
#include "host/model_file.h"
#include "robust/accumulator.h"
#include "sim/keyed_signer.h"
#include "sim/sim_mldsa.h"
#include "sim/sim_work.h"
#include "store/outbox.h"
#include "store/store_memory.h"
#include "wire/record.h"

enum { SIM_HEADER_ROOM = 1 << 16 }; /* bytes that a model's file may have beside its data */

#define SIM_JOB     "sim"
#define COORDINATOR UINT32_MAX           /* as a process; the others are nodes, by index */
#define MS          UINT64_C(1000000)    /* in ns */
#define SECOND      UINT64_C(1000000000) /* in ns */

enum happening_kind {
    HAPPEN_START,
    HAPPEN_STOP,      /* the process stands still for a while */
    HAPPEN_TIMER,     /* of the process */
    HAPPEN_DONE,      /* an asynchronous effect has ended: the event is stepped */
    HAPPEN_MATH,      /* the coordinator's arithmetic */
    HAPPEN_DISK,      /* the coordinator's store */
    HAPPEN_NODE_DISK, /* a node's outbox */
    HAPPEN_JOIN,      /* a node's call arrives */
    HAPPEN_UPDATE,
    HAPPEN_VERIFIED, /* an update's signature was checked */
    HAPPEN_PULL,
    HAPPEN_DIRECTIVE, /* a coordinator's message arrives */
    HAPPEN_RECEIPT,
    HAPPEN_MODEL,
    HAPPEN_LOST,  /* the node learns that a connection is gone */
    HAPPEN_LEAVE, /* the coordinator does */
    HAPPEN_OPERATE,
    HAPPEN_PARTITION,
    HAPPEN_DISK_FAULT,
    HAPPEN_AWAY,   /* a node is switched off for a while */
    HAPPEN_SECOND, /* another coordinator is started on the same store */
    HAPPEN_RENEW,  /* a node's identity is renewed; it connects anew some time later */
    HAPPEN_HEAL,
};

/* What a commit takes along: gathered when it begins, as the daemon does. */
struct sim_commit;

struct happening {
    uint64_t at_ns;
    uint64_t order;
    enum happening_kind kind;
    uint32_t process; /* to whom it happens */
    uint32_t incarnation;
    uint32_t node; /* whose call it is */
    uint64_t session;
    uint64_t ticket;
    uint64_t work_id;          /* of a pull */
    bool flag;                 /* PARTITION: in both directions */
    struct bytes bytes;        /* a message; owned */
    struct payload *payload;   /* of an update; a reference */
    struct model_file *model;  /* of an answer to a pull; a reference, or null: there is none */
    struct sim_commit *commit; /* owned */
    union {
        struct coordinator_event event;
        struct coordinator_effect effect;
        struct node_event node_event;
        struct node_effect node_effect;
    };
};

struct process {
    bool up;
    uint32_t incarnation;
    uint64_t stopped_ns;  /* stands still until then */
    uint64_t offset_ns;   /* of its clock */
    int64_t drift_ppm;    /* of its clock */
    uint64_t timer_order; /* of the one HAPPEN_TIMER that counts; 0: none */
};

/* A connection with the Join over it. */
struct session {
    uint32_t node;
    uint32_t node_incarnation;
    uint32_t incarnation; /* the coordinator's */
    bool broken;          /* nothing passes any more */
    uint64_t last_ns;     /* directives keep their order */
};

struct ticket {
    uint32_t node;
    uint32_t incarnation;
    uint64_t session;
    uint64_t push_id;    /* 0: nobody waits */
    uint32_t generation; /* of the key that signed it */
};

/* An update that the coordinator holds, or is checking. */
struct offer {
    uint32_t incarnation; /* the coordinator's that holds it */
    struct envelope_header header;
    struct bytes envelope; /* header bytes, then the signature */
    size_t header_size;
    struct payload *payload; /* a reference */
};

/* Of a member's accepted update, by the member's index. */
struct accepted {
    struct bytes envelope;
    size_t header_size;
    uint32_t weight;
    struct digest key_id;
};

/* The generations of a node's key that a coordinator knows, plus 1; 0: none. */
struct known {
    uint32_t newest;
    uint32_t before;
};

/* How long the coordinator's are. */
struct queues {
    uint32_t offers;    /* payloads that it holds */
    uint32_t verifying; /* of them, whose signature is being checked */
    uint32_t folding;   /* of them, in its arithmetic's queue */
    uint32_t sums;      /* pieces of arithmetic */
    uint32_t writes;    /* to its disk, and reads from it */
};

struct server {
    struct process process;
    struct coordinator machine;
    struct member *members;
    uint32_t *order;
    struct accepted *accepted;
    struct known *known; /* by node: of the Joins of this process */
    struct accumulator *accumulator;
    struct model_file *model;
    struct model_file *candidate;
    struct model_file *state; /* of the optimiser; null before the first step */
    struct model_file *state_candidate;
    struct validated validated; /* of the version committed last: the rule's memory */
    struct validated validated_candidate;
    uint64_t stand_in_weight;
    uint64_t math_ns; /* when its last arithmetic ends */
    uint64_t disk_ns; /* when its last write ends */
    struct queues queues;
    uint8_t instance_id[INSTANCE_ID_BYTES];
    uint64_t commits_read; /* that there were when it read where the job stands */
    bool ended;            /* it exited by itself, with an outcome */
    bool asked_pause;      /* the last that it was asked for */
    bool told_paused;      /* the last that it heard to be durable */
    bool cancelled;        /* it was told to end the job */
    bool is_on_its_way;    /* of a cancelled job: one version more */
};

/* What an oracle knows of a node's update for one round. */
struct account {
    bool acknowledged;
    bool settled;
    bool counted; /* by a commit record */
    bool dropped; /* as the node noted */
    bool undone;
    struct digest acknowledged_digest;
    struct digest counted_digest;
    struct digest dropped_digest;
};

struct sim_node {
    struct process process;
    struct node machine;
    struct outbox *outbox;
    uint64_t outbox_sequence;
    struct signer signer; /* under the key that its connection was joined with */
    uint32_t generation;  /* of its identity */
    bool done;            /* it was told the end */
    bool liar;
    uint64_t session;
    bool welcomed;                          /* over this session */
    uint8_t instance_id[INSTANCE_ID_BYTES]; /* of the process that it was connected to last */
    uint32_t sessions;                      /* that are not broken */
    uint32_t writes;                        /* to its disk, not done yet */
    uint64_t push_id;
    uint64_t pull_id;
    uint64_t work_done_id; /* of the work that completed last */
    uint64_t slowness;
    uint64_t trainings;
    struct bytes old_envelope;  /* a liar's, to be replayed */
    struct model_file *base;    /* what it trains from; a reference */
    struct sim_trained trained; /* by the training that ended last */
    struct payload *kept;       /* of the update in its outbox; a reference */
    struct account *accounts;   /* by round */
    uint64_t account_capacity;
    bool note_missed; /* since it lives, what became of an update reached no disk */
};

/* Every payload that a node signed, so that models can be made again. */
struct archived {
    struct digest digest;
    struct payload *payload; /* a reference */
};

struct links;

struct world {
    const struct sim_plan *plan;
    struct sim_result *result;
    FILE *story;
    struct random random;
    uint64_t now_ns;
    uint64_t order;
    struct happening **heap;
    uint64_t heap_count;
    uint64_t heap_capacity;
    struct layout *layout;
    struct layout *state_layout; /* null where the optimiser has no state */
    struct store *store;
    struct server server;
    struct server old;     /* of a second coordinator's start on: the one before, while it is up */
    bool is_old_running;   /* the two have changed places */
    uint32_t incarnations; /* of coordinators, so far: each has its own */
    uint64_t epoch_raised; /* the last one that became durable */
    struct validated seen; /* by the rule, as it became durable last */
    struct digest last_commit; /* id of the version committed last */
    uint64_t disk_full_ns;     /* until when the coordinator's disk takes nothing */
    uint32_t flips;            /* models still to be read with a wrong bit */
    uint32_t node_disk_faults_left;
    struct sim_node *nodes;
    uint32_t nodes_done;
    char (*names)[MEMBER_NAME_MAX]; /* of nodes, then the coordinator's */
    const char **name_pointers;
    struct keyed_ring ring;
    struct verifier verifier;           /* of all keys there ever are */
    struct keyed_ring coordinator_ring; /* of those that the coordinator knows, and are valid */
    struct verifier coordinator_verifier;
    struct mldsa_keys *mldsa; /* null: keyed hashes */
    struct mldsa_ring mldsa_all;
    struct mldsa_ring mldsa_coordinator;
    struct signer signer;     /* the coordinator's */
    struct session *sessions; /* from 1 */
    uint64_t session_count;
    uint64_t session_capacity;
    struct ticket *tickets; /* from 1; ticket 0 is nobody's */
    struct offer **offers;  /* by ticket */
    uint64_t ticket_count;
    uint64_t ticket_capacity;
    uint64_t offer_capacity;
    struct archived *archive; /* open addressing by the digest; a power of two */
    uint64_t archive_count;
    uint64_t archive_capacity;
    struct links *links; /* null: the plan's delays are those of messages */
    bool *cut_up;        /* by node: nothing passes to the coordinator */
    bool *cut_down;      /* nothing passes from it */
    uint64_t cut_ns;     /* until when */
    uint32_t crashes_left;
    uint32_t node_crashes_left;
    uint64_t steps; /* of the coordinator */
    bool wants_pause;
    bool wants_cancel;
    bool healed;
    struct sim_work *work;
    uint64_t parameter_count;
    uint64_t refused[REASONS]; /* since the last commit, as the next three */
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct evidence *evidence;      /* evidence[plan->nodes], of that round */
    struct robust_outcome *outcome; /* of the round that is closing; null under the mean */
    float *expected;                /* [parameter_count] each: the model as the slow path made it */
    float *expected_momentum;
    float *expected_second;
    bool has_expected_state;
};

/* ---- sim_world.c: time, chance, the story ---- */

/* A new happening of that kind for a process after a delay; fill it in, then sim_push it. */
struct happening *sim_happening(struct world *w, enum happening_kind kind, uint32_t process,
                                uint64_t delay_ns);
void sim_push(struct world *w, struct happening *happening);
struct happening *sim_pop(struct world *w);
void sim_happening_free(struct happening *happening);
/* Room for index in an array of elements of that size; what is new is zero. */
void *sim_grow(void *array, uint64_t *capacity, uint64_t index, size_t size);
uint64_t sim_delay(struct world *w);
/* With that chance, unless the world is healed; counts the fault. */
bool sim_strikes(struct world *w, enum sim_fault fault, double chance);
struct process *sim_process(struct world *w, uint32_t process);
/* What its clock shows now. */
uint64_t sim_clock(const struct world *w, const struct process *process);
/* Replaces the process's one timer; deadline_ns is of its clock, NO_DEADLINE stops it. */
void sim_set_timer(struct world *w, uint32_t process, uint64_t deadline_ns);
/* A word more in the digest of the run. */
void sim_mix(struct world *w, uint64_t word);
void sim_tell(struct world *w, const struct traces *traces, uint32_t process);
__attribute__((format(printf, 2, 3))) void sim_narrate(struct world *w, const char *format, ...);
/* An oracle was not satisfied: the first text is kept. */
__attribute__((format(printf, 2, 3))) void sim_fail(struct world *w, const char *format, ...);
/* The node of that name. */
uint32_t sim_node_index(const char *name);
/* A short name; "coordinator". Static for the latest call. */
const char *sim_who(uint32_t process);

/* What an envelope may be. */
struct envelope_limits sim_limits(const struct world *w);

/* ---- sim_links.c: how long messages are on their way ---- */

/* When a message of that many bytes, sent now, is at the other end of a node's link. */
uint64_t links_arrival(struct world *w, uint32_t node, bool up, uint64_t bytes);
void links_make(struct world *w);
void links_free(struct world *w);

/* ---- sim_network.c ---- */

/* A node's call arrives at the coordinator, unless it is lost; takes the happening over. */
void sim_send_up(struct world *w, struct happening *happening);
/* A coordinator's message over a session; in_order: after those before it. */
void sim_send_down(struct world *w, struct happening *happening, bool in_order);
/* A connection is gone: both sides learn of it, each in its time. */
void sim_break(struct world *w, uint64_t session);
/* Nobody takes this Join: its node learns it after that time. */
void sim_dial_failed(struct world *w, const struct happening *join, uint64_t after_ns);
void sim_cut(struct world *w, bool both_ways);

/* ---- sim_coordinator.c, sim_updates.c, sim_versions.c, sim_commit.c ---- */

/* What a process has in memory, before it starts; and after it has ended. */
void server_open(struct world *w);
void server_close(struct world *w);
void server_start(struct world *w);
void server_kill(struct world *w, uint64_t back_after_ns);
void server_step(struct world *w, struct coordinator_event event);
/* What was folded is forgotten. */
void empty_sums(struct world *w);
void server_math(struct world *w, const struct coordinator_effect *effect);
void server_disk(struct world *w, struct happening *happening);
/* The model that was committed is the one that is announced from now on. */
void server_take_candidate(struct world *w);
void server_fold(struct world *w, const struct coordinator_effect *effect);
void server_evidence(struct world *w, const struct coordinator_effect *effect);
void server_receipt(struct world *w, const struct coordinator_effect *effect);
void server_release_waiting(struct world *w);
void server_release_shut_out(struct world *w);
void offer_free(struct world *w, uint64_t ticket);
/* Those that the coordinator holds. */
void offers_free(struct world *w);
void on_join_arrives(struct world *w, struct happening *happening);
void on_update_arrives(struct world *w, struct happening *happening);
void on_update_verified(struct world *w, struct happening *happening);
void on_pull_arrives(struct world *w, struct happening *happening);
/* The event's slices belong to state, which start_free frees; null where the store is damaged. */
struct start_state;
struct start_state *start_read(struct world *w, struct coordinator_event *ret_event,
                               struct model_file **ret_model, struct model_file **ret_optimiser);
/* What the rule validated had seen. */
const struct validated *start_validated(const struct start_state *state);
void start_free(struct start_state *state);
struct sim_commit *commit_gather(struct world *w, const struct coordinator_effect *effect);
void commit_free(struct sim_commit *commit);
/* Gives the completion event. */
struct coordinator_event commit_store(struct world *w, const struct coordinator_effect *effect,
                                      struct sim_commit *commit);

/* ---- sim_second.c ---- */

/* Another coordinator is started on the store of one that is up. is_locked: on the same machine. */
void second_start(struct world *w, bool is_locked);
/* Whether it happens to the old coordinator. */
bool second_is_meant(const struct world *w, const struct happening *happening);
/* The two change places: what happens to the coordinator happens to the other one. */
void second_change(struct world *w);
/* It is killed, where it is there, and forgotten where it has ended. */
void second_kill(struct world *w);
/* The incarnation of the coordinator that a node's call reaches. */
uint32_t second_reached(struct world *w);
/* Whether the coordinator that runs was fenced off by a later one. */
bool second_is_fenced(const struct world *w);
/* A version has become durable: it is of the only epoch, and follows the last one. */
void oracle_chain(struct world *w, const struct record_head *head, const struct digest *id);

/* ---- sim_rotation.c ---- */

/* Signers and verifiers, by the names that the world has. */
void rotation_make(struct world *w);
void rotation_free(struct world *w);
/* The generation of the key that a node signs under. */
uint32_t rotation_generation(const struct world *w, uint32_t index);
/* A process's identity is read from its files. */
void rotation_start(struct world *w, uint32_t index);
/* HAPPEN_RENEW. */
void rotation_renew(struct world *w, struct happening *happening);
/* Whether the coordinator takes a Join under that key; it knows it from then on. */
bool rotation_join(struct world *w, uint32_t index, uint32_t generation);
/* A node's connection was joined with that key: it signs under it. */
void rotation_joined(struct world *w, uint32_t index, uint32_t generation);
/* Puts its own signature of now in the place of the one that was kept. */
void rotation_sign_again(struct world *w, uint32_t index, const struct envelope *kept,
                         struct bytes *ret_envelope);
/* Whether a refusal for identity says nothing of the update. */
bool rotation_explains(const struct world *w, uint32_t index, uint32_t generation);

/* ---- sim_queues.c ---- */

/* After each step, its effects carried out: every queue is within its cap, and holds nothing that
 * nobody waits for. */
void oracle_queues(struct world *w);
void oracle_node_queues(struct world *w, uint32_t index);
/* Of the coordinator's payloads, how many an effect adds to its arithmetic. */
uint32_t queues_fold_count(const struct world *w, const struct coordinator_effect *effect);

/* ---- sim_disk.c ---- */

void disk_breaks(struct world *w);
void disk_heals(struct world *w);
/* Before the coordinator writes. */
void disk_prepare(struct world *w);
/* A model was read for the coordinator. */
void disk_flip(struct world *w, uint8_t *bytes, size_t size);
/* What a write of a node's outbox comes to; *ret_reached: it is on the disk all the same. */
enum status node_disk_write(struct world *w, uint32_t index, bool *ret_reached);

/* ---- sim_node.c, sim_liar.c ---- */

void node_start(struct world *w, uint32_t index);
/* back_after_ns: when it starts again, unless it was told the end. */
void node_kill(struct world *w, uint32_t index, uint64_t back_after_ns);
void node_sim_step(struct world *w, uint32_t index, struct node_event event);
void node_disk(struct world *w, struct happening *happening);
void node_lost(struct world *w, struct happening *happening);
void on_directive_arrives(struct world *w, struct happening *happening);
void on_receipt_arrives(struct world *w, struct happening *happening);
void on_model_arrives(struct world *w, struct happening *happening);
/* The message of a push; push_id 0: nobody waits for the answer. */
void node_send_update(struct world *w, uint32_t index, struct slice envelope,
                      struct payload *payload, uint64_t push_id);
void liar_lies(struct world *w, uint32_t index, const struct envelope_header *honest);

/* ---- sim_oracle.c, sim_recompute.c ---- */

/* Takes a reference of its own. Nothing where the work is not checked. */
void archive_put(struct world *w, struct payload *payload);
/* Null where it is not known. */
struct payload *archive_find(const struct world *w, const struct digest *digest);
/* After each step of the coordinator. */
void oracle_machine(struct world *w, const struct traces *traces);
/* A version has become durable. */
void oracle_commit(struct world *w, const struct coordinator_effect *effect);
/* What the store holds is what the machine knows. */
void oracle_recovery(struct world *w);
/* What was stored is what a machine that was started with it knows of its members. */
void oracle_start(struct world *w, const struct coordinator_event *start);
void oracle_note(struct world *w, uint32_t index, const struct node_effect *effect);
/* What became of its kept update may be forgotten in a crash: it asks again. */
void oracle_notes_lost(struct world *w, uint32_t index, const struct kept_update *kept);
void oracle_beacon(struct world *w, uint64_t session);
/* What a commit of that round tells a member. */
void oracle_settle(struct world *w, const struct member *member, uint64_t round);
void oracle_end(struct world *w);
/* Makes the model of a record again, plainly; compares it with the one in the store. */
void recompute(struct world *w, const struct record *record, const struct model_file *model);
