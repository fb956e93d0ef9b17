/*
 * node_host_internal.h - what a node's shell keeps, shared by its files.
 */
#pragma once

#include "core/node.h"
#include "host/clock.h"
#include "host/config.h"
#include "host/log.h"
#include "host/model_file.h"
#include "host/worker.h"
#include "identity/envelope_key.h"
#include "identity/keyring.h"
#include "identity/tls_context.h"
#include "mesh/mesh.h"
#include "store/outbox.h"
#include "train/trainer.h"

#include <uv.h>

struct node_host {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t signals[2];
    const struct config *config;
    struct log *log;
    int exit_code;
    bool stepping;
    bool leaving;
    struct node machine;
    /* Who. */
    struct identity *identity;
    struct keyring *keyring;
    struct verifier verifier;
    struct signer signer;
    SSL_CTX *tls;
    struct leaf *leaf;
    uint8_t instance_id[INSTANCE_ID_BYTES]; /* of the coordinator that welcomed us */
    char coordinator[SPIFFE_ID_MAX];
    /* What is durable. */
    struct outbox *outbox;
    struct worker *disk;
    /* Learning. */
    struct worker *trainers;
    struct model_spec spec;
    struct layout *layout;
    struct dataset data;
    struct dataset holdout; /* samples kept off data, to measure received models on */
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
    struct job *hold_waiting;
    uint64_t outbox_sequence;
};

/* Steps the machine and carries its effects out. Not from within an effect. */
void node_host_step(struct node_host *host, struct node_event *event);

/* Says a fault on standard error and in the log, and ends the process with exit code 1. */
void node_host_fault(struct node_host *host, const char *what, enum status status,
                     const struct error *err);

/* node_link.c: join, directives, pulls and pushes. */
[[nodiscard]] enum status node_link_open(struct node_host *host, struct error *err);
void node_link_connect(struct node_host *host);
void node_link_pull(struct node_host *host, const struct node_effect *effect);
void node_link_push(struct node_host *host, const struct node_effect *effect);

/* node_work.c: training, signing, the outbox. */
[[nodiscard]] enum status node_work_open(struct node_host *host, struct error *err);
void node_work_close(struct node_host *host);
[[nodiscard]] enum status node_work_kept(struct node_host *host, struct kept_update *ret_kept,
                                         struct error *err);
void node_work_train(struct node_host *host, const struct node_effect *effect);
void node_work_hold(struct node_host *host, const struct node_effect *effect);
void node_work_push_ended(struct node_host *host);
void node_work_raise(struct node_host *host, const struct node_effect *effect);
void node_work_note(struct node_host *host, const struct node_effect *effect);
