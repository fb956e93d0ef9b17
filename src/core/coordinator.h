/*
 * coordinator.h - the machine that runs a job: epochs, members, rounds, receipts, commits, the end.
 *
 * Pure: what happens comes in as struct coordinator_event, what must happen goes out as struct
 * coordinator_effect. Not here: bytes, signatures, arithmetic, disks (wire/, identity/, robust/,
 * store/), and the shell that joins them (host/).
 */
#pragma once

#include "core/roster.h"

struct coordinator_settings {
    double k_threshold; /* share of the selected that closes a round, (0, 1] */
    uint64_t timeout_ns;
    uint64_t start_timeout_ns;
    uint64_t linger_ns; /* how long an ended job still answers who comes back */
    uint32_t min_updates;
    uint32_t start_nodes;
    uint64_t rounds_max;
    uint64_t samples_max;
    uint32_t repeats_max; /* of one round in a row; then the job is cancelled. 0: no limit */
    bool validate;
};

enum coordinator_phase {
    COORDINATOR_BOOT,
    COORDINATOR_RAISING,    /* the epoch is being made durable */
    COORDINATOR_CREATING,   /* the first model is being made and committed */
    COORDINATOR_GATHERING,  /* waiting for enough members */
    COORDINATOR_COLLECTING, /* a round is open */
    COORDINATOR_CLOSING,    /* the accepted set is fixed; being aggregated */
    COORDINATOR_VALIDATING,
    COORDINATOR_COMMITTING,
    COORDINATOR_ENDING, /* the outcome is being made durable */
    COORDINATOR_ENDED,
    COORDINATOR_FAILED,
};

enum coordinator_event_kind {
    EV_START,
    EV_EPOCH_PERSISTED,
    EV_MODEL_CREATED,
    EV_JOIN,
    EV_LEAVE,
    EV_UPDATE,
    EV_FOLDED,
    EV_CLOSED,
    EV_VALIDATED,
    EV_COMMITTED,
    EV_OUTCOME_PERSISTED,
    EV_RECALLED,
    EV_TIMER,
    EV_CANCEL,
};

/* What of an update the core decides on. The shell has checked digest, signature, shape, norm. */
struct update_info {
    const char *name; /* SPIFFE id of the signer */
    struct update_key key;
    struct digest base_id;
    uint64_t samples;
    double loss;
    struct blob_ref blob;
};

struct coordinator_event {
    enum coordinator_event_kind kind;
    uint64_t now_ns; /* CLOCK_BOOTTIME; never falls */
    uint64_t id;     /* of the effect that this completes */
    enum status status;
    union {
        struct { /* EV_START: what the store holds */
            uint64_t epoch;
            bool has_version;
            struct version_ref version;
            uint64_t open_round;
            enum outcome outcome;
            const char *const *members; /* active names, any order */
            uint32_t member_count;
        } start;
        uint64_t epoch;             /* EV_EPOCH_PERSISTED */
        struct version_ref version; /* EV_MODEL_CREATED and EV_CLOSED: id not yet; EV_COMMITTED */
        struct {
            const char *name;
            uint64_t session; /* 1 or more, never used before */
            uint64_t epoch_seen;
            bool has_held;
            struct update_key held;
        } join;
        uint64_t session; /* EV_LEAVE */
        struct {
            uint64_t ticket; /* names the call that waits for the receipt */
            struct update_info info;
        } update;
        struct {
            double loss;
            double accuracy;
        } validated;
        struct { /* EV_RECALLED: where the update is; number 0 and NOT_FOUND: nowhere */
            uint32_t member;
            uint64_t session;
            struct update_key key;
            bool counted;
            struct version_ref version;
            enum reason reason;
        } recalled;
    };
};

enum coordinator_effect_kind {
    FX_PERSIST_EPOCH,    /* id, epoch: at least this one */
    FX_CREATE_MODEL,     /* id */
    FX_WELCOME,          /* member, session: the first directive of a Join */
    FX_DENY,             /* session, reason: ends a Join */
    FX_END_SESSION,      /* session: a newer Join took its place */
    FX_ANNOUNCE,         /* round, attempt, deadline: the beacon to every member_hears_beacon */
    FX_SEND_BEACON,      /* member: the beacon of the open round */
    FX_RECEIPT_ACCEPTED, /* ticket */
    FX_RECEIPT_REFUSED,  /* ticket, reason */
    FX_EVIDENCE,         /* member, ticket: keep both contradicting headers */
    FX_FOLD,             /* id, member, blob: into the accumulator, weighted */
    FX_RELEASE,          /* blob */
    FX_CLOSE,            /* id, round: the accumulator becomes the next model */
    FX_VALIDATE,         /* id */
    FX_COMMIT,           /* id, round, attempt, outcome: record, model, roster, in one */
    FX_SETTLE,           /* to every member what its `settlement` says */
    FX_RECALL,           /* id, member, session, key: what became of it? */
    FX_SEND_COUNTED,     /* member, session, key, version */
    FX_SEND_DROPPED,     /* member, session, key, reason */
    FX_PERSIST_OUTCOME,  /* id, outcome */
    FX_FINISH,           /* outcome: to every member_hears_finish */
    FX_SEND_FINISHED,    /* member, session, outcome */
    FX_TIMER,            /* deadline: the one timer; NO_DEADLINE stops it */
    FX_EXIT,             /* outcome; status where a local fault is the cause */
};

struct coordinator_effect {
    enum coordinator_effect_kind kind;
    enum reason reason;
    enum outcome outcome;
    enum status status;
    uint32_t member;
    uint32_t attempt;
    uint64_t id;
    uint64_t session;
    uint64_t ticket;
    uint64_t epoch;
    uint64_t round;
    uint64_t deadline_ns;
    struct update_key key;
    struct blob_ref blob;
    struct version_ref version;
};

struct coordinator_effects {
    uint32_t count;
    struct coordinator_effect items[EFFECTS_MAX];
    struct traces traces;
};

struct coordinator {
    struct coordinator_settings settings;
    struct roster roster;
    enum coordinator_phase phase;
    uint64_t now_ns;
    uint64_t epoch;
    uint64_t epoch_wanted; /* a member saw a later one: raise to this, 0 none */
    uint64_t next_id;
    uint64_t pending_id;  /* the one asynchronous effect that the phase waits for */
    uint64_t epoch_id;    /* of an epoch raised while a round is open; 0 none */
    uint64_t deadline_ns; /* of the phase */
    uint64_t timer_ns;    /* as last given to the shell */
    struct version_ref version;
    struct version_ref candidate;
    bool has_version;
    bool cancelled;
    enum outcome outcome;
    uint64_t round;
    uint32_t attempt;
    uint32_t selected;
    uint32_t k; /* updates that close the round */
    uint32_t accepted;
    uint32_t folding; /* FX_FOLD without completion */
    uint32_t late;    /* refused as late since the round opened */
    double validation_loss;
    double validation_accuracy;
};

/*
 * Makes a machine that waits for EV_START. members and order: the caller's memory, capacity each,
 * untouched by others as long as the machine lives. Settings out of range abort.
 */
void coordinator_init(struct coordinator *coordinator, const struct coordinator_settings *settings,
                      struct member *members, uint32_t *order, uint32_t capacity);

/*
 * Applies time, then the event; writes the effects in the order in which they must be begun.
 * Never fails: a bad event from outside is answered by an effect, one of ours aborts.
 */
void coordinator_step(struct coordinator *coordinator, const struct coordinator_event *event,
                      struct coordinator_effects *ret_effects);

/* What an update would be answered now; REASON_UNSPECIFIED: it would be taken or acknowledged. */
enum reason coordinator_screen(const struct coordinator *coordinator,
                               const struct update_info *info);

/* Whether that update is in the accepted set already: it is acknowledged without its payload. */
bool coordinator_holds(const struct coordinator *coordinator, const struct update_info *info);
