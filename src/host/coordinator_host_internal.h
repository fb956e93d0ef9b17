/*
 * coordinator_host_internal.h - what the coordinator's shell keeps, shared by its files.
 */
#pragma once

#include "core/coordinator.h"
#include "host/clock.h"
#include "host/config.h"
#include "host/coordinator_control.h"
#include "host/core_terms.h"
#include "host/job_figures.h"
#include "host/log.h"
#include "host/model_file.h"
#include "host/robust_round.h"
#include "host/round_close.h"
#include "host/round_figures.h"
#include "host/run_report.h"
#include "host/worker.h"
#include "host/credentials.h"
#include "identity/keyring.h"
#include "mesh/mesh_direct.h"
#include "store/kept_updates.h"
#include "store/store.h"
#include "train/dataset.h"
#include "train/model_spec.h"

#include <uv.h>

enum {
    OFFERS_MAX = 1 << 15, /* updates under way at once; more are told BUSY */
};

struct coordinator_host;

/* An update on its way from the wire into the accumulator. */
struct offer {
    struct job job;
    struct coordinator_host *host;
    struct offer *next; /* in its bucket */
    uint64_t ticket;
    uint64_t fold_id;
    uint64_t version_number; /* of the version that is to count it */
    uint32_t weight;
    uint8_t *payload;
    struct envelope_header header;
    struct bytes envelope; /* header bytes, then signature */
    size_t header_size;
    struct refusal refusal;
    enum status status;
    bool receiving;          /* the payload is not whole yet */
    double norm;             /* L2, of the payload */
    bool verified;           /* its signature is the header's signer's */
    char hop[MESH_NAME_MAX]; /* who brought it; TLS says so */
};

/* What the record needs of an accepted update; by member. */
struct accepted_update {
    struct bytes envelope; /* header bytes, then signature */
    size_t header_size;
    struct digest key_id;
    struct digest kept_key_id; /* the key whose certificate the store has from this process */
    uint32_t weight;
    bool told_end;
};

/* When the parts of the round under way began, CLOCK_BOOTTIME: one part's end is the next's. */
struct round_marks {
    uint64_t announce_ns;
    uint64_t collect_ns;
    uint64_t aggregate_ns;
    uint64_t validate_ns;
    uint64_t persist_ns;
};

struct coordinator_host {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t signals[2];
    const struct config *config;
    struct log *log;
    int exit_code;
    bool exiting;
    bool draining;
    bool final_begun;
    bool final_done;
    /* Decisions. */
    struct coordinator machine;
    struct member *members;
    uint32_t *order;
    bool stepping;
    bool action_is_due[CONTROL_CANCEL + 1]; /* an operator wants it, once a job is there */
    /* For people. */
    struct job_figures figures;
    const struct coordinator_extension *extension; /* null: none */
    void *extension_state;                         /* null: not open */
    /* Who. */
    struct spiffe_id id;             /* the same over all renewals */
    struct credentials *credentials; /* of the newest identity; a job that signs has its own
                                        reference */
    struct identity_renewer *renewer;
    struct keyring *keyring;
    struct verifier verifier;
    struct digest
        kept_key_id; /* the signing key whose certificate the store has from this process */
    struct hub *hub;
    uint8_t instance_id[INSTANCE_ID_BYTES];
    /* What is durable. */
    struct store *store;
    uint64_t commits_read; /* that there were when this process read where the job stands */
    struct worker *disk;
    struct kept_updates *kept; /* for audits; null until the store is read */
    /* Arithmetic. */
    struct worker *math;
    struct worker *verify;
    struct model_spec spec;
    struct layout *layout;
    struct accumulator *accumulator;
    struct robust_round *robust;    /* in place of it where the rule is robust; else null */
    struct robust_outcome *outcome; /* of the round that is closing; may be null */
    struct dataset validation;
    struct model_file *model;     /* of the version committed last */
    struct model_file *candidate; /* closed, not committed */
    struct server_optimiser optimiser;
    struct layout *state_layout;            /* of its state; null where it has none */
    struct model_file *optimiser_state;     /* of the version committed last; null: none yet */
    struct model_file *optimiser_candidate; /* of candidate */
    struct validated validated;             /* of the version committed last: the rule's memory */
    struct validated validated_candidate;   /* of candidate */
    uint64_t stand_in_weight;               /* of the round that is closing */
    struct node_figures node_figures;       /* of the round that is closing */
    struct model_file *served;              /* all that are or may still be pulled, newest first */
    double aggregate_norm;
    /* Updates. */
    struct offer **offers; /* buckets by ticket */
    uint32_t offer_count;
    uint64_t *waiting; /* tickets that wait for room: a ring of OFFERS_MAX */
    uint32_t waiting_first;
    uint32_t waiting_count;
    uint64_t pool_used;
    struct accepted_update *accepted; /* by member */
    struct bytes beacon;
    /* Figures of the round. */
    uint64_t refused[REASONS];
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t bytes_in_all; /* of the rounds committed, also before a restart */
    uint64_t bytes_out_all;
    struct round_marks marks;
    uint64_t run_begun_ns;
    uint64_t round_seed;
    /* For the summary, fixed when the job ends. */
    struct store_version final_first; /* the first commit: when the job began */
    uint64_t final_rounds;
    uint64_t final_bytes_in;
    uint64_t final_bytes_out;
    uint32_t final_nodes;
};

/* Updates refused as late since the round opened, most of them at their header. */
static inline uint64_t host_refused_late(const struct coordinator_host *host)
{
    return host->refused[REASON_ROUND_CLOSED] + host->refused[REASON_TOO_STALE];
}

/* Steps the machine and carries its effects out. Not from within an effect. */
void host_step(struct coordinator_host *host, struct coordinator_event *event);

/* Something changed that outsiders may see. */
void host_changed(struct coordinator_host *host);

/* coordinator_control.c: what operators asked for while there was no job yet. */
void coordinator_control_step_if_due(struct coordinator_host *host);

/* Says a local fault on standard error and in the log, and ends the process with exit code 1. */
void host_fault(struct coordinator_host *host, const char *what, enum status status,
                const struct error *err);

/* coordinator_updates.c: the hub's handlers for joins, updates and blobs, and the pool. */
extern const struct hub_handlers coordinator_hub_handlers;
enum status coordinator_identify(void *context, SSL *ssl, struct mesh_peer *ret_peer,
                                 struct error *err);
void updates_receipt(struct coordinator_host *host, const struct coordinator_effect *effect);
void updates_fold(struct coordinator_host *host, const struct coordinator_effect *effect);
/* For all members that are `folding`; one completion. */
void updates_fold_waiting(struct coordinator_host *host, const struct coordinator_effect *effect);
/* What waited and will not be counted. */
void updates_release_waiting(struct coordinator_host *host);
/* What waited of members that are `shut_out`. */
void updates_release_shut_out(struct coordinator_host *host);
void updates_release(struct coordinator_host *host, uint64_t ticket);
void updates_evidence(struct coordinator_host *host, const struct coordinator_effect *effect);
void updates_deinit(struct coordinator_host *host);

/* coordinator_identity.c: who the coordinator is; renewal while it runs. */
[[nodiscard]] enum status coordinator_identity_open(struct coordinator_host *host,
                                                    struct error *err);
[[nodiscard]] enum status coordinator_identity_watch(struct coordinator_host *host);
/* Blocks until nothing of a renewal is under way. */
void coordinator_identity_unwatch(struct coordinator_host *host);

/* coordinator_directives.c: what is told to members. */
/* The credentials were replaced: everybody connected learns the key that signs from now on. */
void directives_key_is_new(struct coordinator_host *host);
void directives_carry(struct coordinator_host *host, const struct coordinator_effect *effect);

/* coordinator_versions.c: models made, validated, committed; epochs; look-ups. */
void versions_carry(struct coordinator_host *host, const struct coordinator_effect *effect);

void versions_deinit(struct coordinator_host *host);

/* coordinator_optimiser.c: the aggregate becomes a model. */
[[nodiscard]] enum status optimiser_open(struct coordinator_host *host, struct error *err);
/* Takes the bytes (malloc's, also on error) of a stored state. CORRUPT. */
[[nodiscard]] enum status optimiser_adopt(struct coordinator_host *host, uint8_t *bytes,
                                          size_t size, struct error *err);
/* Empties the accumulator. PEER where the model would not be finite, NO_MEMORY, INVAL. */
[[nodiscard]] enum status optimiser_close(const struct coordinator_host *host,
                                          const struct close_task *task,
                                          struct closed_round *ret_closed, struct error *err);
void optimiser_deinit(struct coordinator_host *host);

/* The figures of the round begin anew. */
void versions_new_round(struct coordinator_host *host);
/* From now on that model is the one that is announced and can be pulled. */
void versions_serve(struct coordinator_host *host, struct model_file *file);
/* Reads a committed model, with a reference. On whoever uses the store. */
[[nodiscard]] enum status versions_load(struct coordinator_host *host,
                                        const struct store_version *version,
                                        struct model_file **ret_file, struct error *err);

/* coordinator_start.c: Reads where the job stands and starts the machine with it. */
[[nodiscard]] enum status versions_start(struct coordinator_host *host, struct error *err);

/* run_folder.c: files for people. */
[[nodiscard]] enum status run_folder_restore(struct coordinator_host *host, struct error *err);
void run_folder_progress(const struct coordinator_host *host);
/*
 * The metrics line of the open round, all but its times; bytes initialised by the caller. The
 * second call, on the disk worker right before the transaction that holds the line, makes it whole.
 */
[[nodiscard]] enum status run_folder_metrics_begin(const struct coordinator_host *host,
                                                   struct bytes *line);
[[nodiscard]] enum status run_folder_metrics_end(const struct coordinator_host *host,
                                                 struct bytes *line);
[[nodiscard]] enum status run_folder_append_metrics(const struct coordinator_host *host,
                                                    struct slice line, struct error *err);
/* Evaluates on the test images and writes model.safetensors and summary.json. On a worker. */
[[nodiscard]] enum status run_folder_finish(const struct coordinator_host *host, struct error *err);
