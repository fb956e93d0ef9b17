/*
 * node_host_internal.h - what a node's shell keeps, and what the nodes of one process share.
 */
#pragma once

#include "core/node.h"
#include "host/clock.h"
#include "host/config.h"
#include "host/job_data.h"
#include "host/log.h"
#include "host/model_file.h"
#include "host/worker.h"
#include "host/credentials.h"
#include "host/identity_renewer.h"
#include "identity/keyring.h"
#include "mesh/mesh.h"
#include "store/outbox.h"
#include "train/trainer.h"

#include <stdatomic.h>
#include <uv.h>

enum { NODE_DISKS_MAX = 8 };

/* The nodes of one process: one loop, one pool of trainers, a few disk threads. */
struct node_group {
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct worker *trainers;
    struct worker *disks[NODE_DISKS_MAX]; /* one thread each, so that a node's jobs keep order */
    uint32_t disk_count;
    struct node_host *nodes; /* [count] */
    struct job_part *parts;  /* [count], the samples of each node */
    uint32_t count;
    uint32_t running;
    bool stopping; /* SIGINT or SIGTERM came */
};

/* One connection to the coordinator. */
struct node_link {
    struct node_host *host;
    struct node_link *next;
    struct leaf *leaf;
    struct credentials *credentials; /* that it was made with */
    bool is_welcome;                 /* the coordinator let it in */
    bool is_closing;
    int64_t replace_ms; /* from when it is to be replaced, for the coordinator's certificate ... */
    int64_t end_ms;     /* ... which ends then; wall time, INT64_MAX: not known yet */
};

struct node_host {
    struct node_group *group;
    uv_timer_t timer;
    uv_timer_t check_timer; /* of the connection's replacement */
    const struct config *config;
    struct log *log;
    int exit_code;
    bool stepping;
    bool leaving;
    bool closing;  /* nothing is under way any more, and the timer is on its way out */
    uint32_t jobs; /* submitted to workers and not done yet */
    struct node machine;
    /* Who. */
    struct credentials *credentials; /* of the newest identity */
    struct identity_renewer *renewer;
    int64_t renewed_ms; /* when the newest came, wall time */
    struct keyring *keyring;
    struct verifier verifier;
    /* Connections. */
    struct node_link *links;     /* all that are not being closed */
    uint32_t link_count;         /* with those */
    struct node_link *link;      /* in use, or being made; null: none */
    struct node_link *link_next; /* being made to replace it; null: none */
    bool awaits_quiet;           /* ... once the node is at nothing */
    uint32_t redial_failures;
    int64_t redial_ms;                      /* not before, wall time */
    uint8_t instance_id[INSTANCE_ID_BYTES]; /* of the coordinator that welcomed us */
    char coordinator[SPIFFE_ID_MAX];
    /* What is durable. */
    struct outbox *outbox;
    struct worker *disk; /* one of the group's */
    /* Learning. */
    struct worker *trainers; /* the group's */
    struct model_spec spec;
    struct layout *layout;
    struct job_part *part; /* the group's */
    const struct trainer_ops *trainer_ops;
    void *trainer;
    float *delta; /* f32[parameter_count]: of the task under way, then of the update being held */
    uint64_t delta_samples;
    double delta_loss;
    bool received_evaluated; /* received is of the model that delta started from */
    struct evaluation received;
    struct model_file *model; /* pulled for the task under way */
    /* A pull under way. */
    uint8_t *pull_bytes;
    uint64_t pull_size;
    uint64_t pull_id;
    uint64_t training_id;
    /* A push under way reads the outbox: the next HOLD waits for its end. */
    uint64_t push_id;
    struct digest push_key_id;  /* that signed what is being pushed */
    struct bytes push_envelope; /* where it is not the outbox's */
    struct job *hold_waiting;
    uint64_t outbox_sequence;
    /* Faults that this node plays. */
    struct worker *own_trainer;       /* of a node that waits: it must not hold up the others */
    _Atomic uint64_t cancelled_train; /* the highest training that was cancelled */
    bool met_alive;                   /* a round was announced before the one that kills it */
    struct down *down;                /* killed: what brings it back */
};

/*
 * Starts a node of the group. Whatever happens, also where it cannot start, node_group_ended is
 * called once, later, from the loop.
 */
void node_host_open(struct node_host *host, struct node_group *group, const struct config *config);

/* Ends a node: what is under way is cancelled, and what is not durable is lost. */
void node_host_leave(struct node_host *host);

/* The node has let go of everything; its exit code says why. */
void node_group_ended(struct node_group *group, struct node_host *host);

/* Steps the machine and carries its effects out. Not from within an effect. */
void node_host_step(struct node_host *host, struct node_event *event);

/* Says a fault on standard error and in the log, and ends the node with exit code 1. */
void node_host_fault(struct node_host *host, const char *what, enum status status,
                     const struct error *err);

/* A line on standard error, which names the node where the process has several. */
void node_host_say(const struct node_host *host, const char *what, const char *text);

/* Submits a job of this node, which lives on until the job's done has called node_host_done. */
void node_host_submit(struct node_host *host, struct worker *worker, struct job *job);
void node_host_done(struct node_host *host);

/* node_faults.c: faults.* of this node. */

/* Whether the node dies instead of hearing of this round; it comes back later, once. */
bool node_faults_dies(struct node_host *host, uint64_t round);
/* Called when a killed node has ended. True where it comes back, and the group goes on waiting. */
bool node_faults_comes_back(struct node_host *host);
/* Gives up on a node that is down. True where it was. */
bool node_faults_stays_down(struct node_host *host);

/* The pace of one training: a slow node pauses between batches. */
struct pace {
    struct node_host *host;
    uint64_t train_id;
    double factor;    /* 1: not slow */
    uint64_t from_ns; /* since when it works */
};
struct pace node_faults_pace(struct node_host *host, uint64_t train_id);
/* After a batch; context is the pace. A trainer's progress callback, and once after training. */
void node_faults_pause(void *context, uint64_t steps, uint64_t steps_total);

/* Lets go of the node where it leaves and nothing is under way any more. */
void node_host_close_if_idle(struct node_host *host);

/* node_connection.c: who the node is, and its connections. */
[[nodiscard]] enum status node_identity_open(struct node_host *host, struct error *err);
[[nodiscard]] enum status node_identity_watch(struct node_host *host);
void node_connection_open(struct node_host *host);
/* The first Welcome came: the connection is in use from now on. */
void node_connection_welcomed(struct node_link *link);
void node_connection_lost(struct node_link *link);
/* Makes a new connection where one is wanted and the instant is good. */
void node_connection_check(struct node_host *host);
void node_connection_cancel(struct node_host *host, uint64_t transfer);
void node_connection_close(struct node_host *host);
/* What the connection in use was made with, whose signing key the coordinator knows. */
struct credentials *node_connection_credentials(const struct node_host *host);

/* node_link.c: directives, pulls and pushes. */
extern const struct leaf_handlers node_link_handlers; /* context: the struct node_link */
/* Tells the machine that something failed, but not from within its step. */
void node_link_fail_later(struct node_host *host, enum node_event_kind kind, uint64_t id,
                          enum status status);
void node_link_pull(struct node_host *host, const struct node_effect *effect);
void node_link_push(struct node_host *host, const struct node_effect *effect);

/* node_work.c: training, signing, the outbox. */
[[nodiscard]] enum status node_work_open(struct node_host *host, struct error *err);
void node_work_close(struct node_host *host);
[[nodiscard]] enum status node_work_kept(struct node_host *host, struct kept_update *ret_kept,
                                         struct error *err);
void node_work_train(struct node_host *host, const struct node_effect *effect);
void node_work_cancel_training(struct node_host *host, uint64_t id);
void node_work_hold(struct node_host *host, const struct node_effect *effect);
void node_work_push_ended(struct node_host *host);
void node_work_raise(struct node_host *host, const struct node_effect *effect);
void node_work_note(struct node_host *host, const struct node_effect *effect);
