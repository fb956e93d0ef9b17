/*
 * coordinator.h - the machine that runs a job: epochs, members, rounds, receipts, commits, the end.
 *
 * Pure: what happens comes in as struct coordinator_event, what must happen goes out as struct
 * coordinator_effect. Not here: bytes, signatures, arithmetic, disks (wire/, identity/, robust/,
 * store/), and the shell that joins them (host/).
 */
#pragma once

#include "core/roster.h"
#include "learn/convergence.h"
#include "learn/schedule.h"
#include "learn/staleness.h"

/* What becomes of who has not reported when a round closes. */
enum late_policy {
    LATE_DISCARD,    /* its update is dropped */
    LATE_NEXT_ROUND, /* its update is counted in the round that is open when it comes */
    LATE_MOMENTUM,   /* its update is dropped, the server's momentum counted in its place */
};

/* What becomes of a member that was flagged too often. */
enum quarantine_policy {
    QUARANTINE_OFF,
    QUARANTINE_SUGGEST, /* it is only said */
    QUARANTINE_AUTO,    /* it is not asked, and its updates are refused */
};

struct coordinator_settings {
    double k_threshold;    /* share of the needed that closes a round, (0, 1] */
    double share;          /* of those that could be asked, how many a round needs, (0, 1] */
    double over_selection; /* share of the needed that is asked beyond them, 0 or more */
    uint32_t cooldown_rounds;
    uint64_t seed; /* of who is selected */
    enum late_policy late;
    uint32_t max_staleness; /* LATE_NEXT_ROUND: rounds, [1, STALENESS_MAX] */
    enum staleness_kind staleness;
    double staleness_exponent;
    uint64_t staleness_hinge;
    enum quarantine_policy quarantine;
    uint64_t quarantine_rounds;
    struct convergence_settings convergence; /* its max_rounds is not looked at: rounds_max */
    struct schedule schedule;
    uint64_t timeout_ns;
    uint64_t start_timeout_ns;
    uint64_t linger_ns; /* how long an ended job still answers who comes back */
    uint32_t min_updates;
    uint32_t start_nodes;
    uint64_t rounds_max;
    uint64_t samples_max;
    uint32_t repeats_max;    /* of one round in a row; then the job is cancelled. 0: no limit */
    bool validate;           /* FX_VALIDATE measures each candidate, or asks what nodes reported */
    bool validates_received; /* what is measured is the version before: nodes report it */
};

enum coordinator_phase {
    COORDINATOR_BOOT,
    COORDINATOR_RAISING,    /* the epoch is being made durable */
    COORDINATOR_CREATING,   /* the first model is being made and committed */
    COORDINATOR_GATHERING,  /* waiting for enough members */
    COORDINATOR_PAUSED,     /* between two rounds, until resumed */
    COORDINATOR_COLLECTING, /* a round is open */
    COORDINATOR_CLOSING,    /* the accepted set is fixed; being aggregated */
    COORDINATOR_VALIDATING,
    COORDINATOR_COMMITTING,
    COORDINATOR_RESTORING, /* diverged: the best version is being read again */
    COORDINATOR_ENDING,    /* the outcome is being made durable */
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
    /* The shell refused a signed update for what is in it: as EV_UPDATE, without a ticket, and with
     * what the member is flagged for. */
    EV_REFUSED,
    EV_FOLDED,
    EV_CLOSED,
    EV_VALIDATED,
    EV_COMMITTED,
    EV_OUTCOME_PERSISTED,
    EV_RECALLED,
    EV_RESTORED,
    EV_PAUSE_PERSISTED,
    EV_TIMER,
    EV_PAUSE,
    EV_RESUME,
    EV_CANCEL,
};

/* What the store knows of a member beyond its name. */
struct member_history {
    bool is_away; /* it had no part in the last version: not waited for, yet not forgotten */
    uint64_t asked_round;
    uint64_t counted_round;
    uint64_t samples;
    struct reputation reputation;
};

/* A member of the closing round whose update is suspected. */
struct evidence {
    uint32_t member;
    struct flag flag;
};

/* What of an update the core decides on. The shell has checked digest, signature, shape, norm. */
struct update_info {
    const char *name; /* SPIFFE id of the signer */
    struct update_key key;
    struct digest base_id;
    uint64_t samples;
    double loss;
    struct update_report report;
    struct blob_ref blob;
};

struct coordinator_event {
    enum coordinator_event_kind kind;
    uint64_t now_ns; /* CLOCK_BOOTTIME; never falls */
    uint64_t id;     /* of the effect that this completes */
    enum status status;
    double aggregate_norm;           /* EV_CLOSED: L2 norm of the aggregated update */
    const struct evidence *evidence; /* EV_CLOSED: evidence[evidence_count], borrowed */
    uint32_t evidence_count;
    union {
        struct { /* EV_START: what the store holds */
            uint64_t epoch;
            bool has_version;
            struct version_ref version;
            uint64_t open_round;
            enum outcome outcome;
            const char *const *members;             /* names, any order */
            const struct member_history *histories; /* as members; null: nothing is known */
            uint32_t member_count;
            const struct base_ref *bases; /* of earlier rounds, any order */
            uint32_t base_count;
            const struct convergence *convergence; /* null: nothing was recorded yet */
            bool paused;
        } start;
        uint64_t epoch; /* EV_EPOCH_PERSISTED */
        bool paused;    /* EV_PAUSE_PERSISTED */
        /* EV_MODEL_CREATED, EV_CLOSED, EV_RESTORED: id not yet; EV_COMMITTED. */
        struct version_ref version;
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
            struct flag flag; /* EV_REFUSED */
        } update;
        struct { /* EV_VALIDATED */
            double loss;
            double accuracy;
            bool has_loss;
            bool has_accuracy;
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
    FX_PERSIST_EPOCH,    /* id, epoch: at least this one; held: the one raised before, 0 none */
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
    FX_FOLD_WAITING,     /* id: the blobs of all members that are `folding`, one completion */
    FX_RELEASE,          /* blob */
    FX_RELEASE_WAITING,  /* the blobs of all members that are `waiting` */
    FX_RELEASE_SHUT_OUT, /* the blobs of all members that are `shut_out` */
    FX_CLOSE,            /* id, round, rate: the accumulator becomes the next model; the server's
                            momentum is counted for members that `stand in` */
    FX_VALIDATE,         /* id */
    FX_RESTORE,          /* id, round: the model committed in that round becomes the candidate */
    FX_COMMIT, /* id, round, attempt, outcome, rate, best: record, model, roster, in one; undone:
                        nothing of the round is counted, its updates are dropped */
    FX_SETTLE, /* to every member what its `settlement` says */
    FX_RECALL, /* id, member, session, key: what became of it? */
    FX_SEND_COUNTED,    /* member, session, key, version */
    FX_SEND_DROPPED,    /* member, session, key, reason */
    FX_SEND_OFFER,      /* member, session, key: that late update can still be counted */
    FX_PERSIST_OUTCOME, /* id, outcome */
    FX_PERSIST_PAUSED,  /* id, paused */
    FX_FINISH,          /* outcome: to every member_hears_finish */
    FX_SEND_FINISHED,   /* member, session, outcome */
    FX_TIMER,           /* deadline: the one timer; NO_DEADLINE stops it */
    FX_EXIT,            /* outcome; status where a local fault is the cause */
};

/* Which version a commit shows to be the best so far. */
enum commit_best {
    BEST_AS_BEFORE,
    BEST_THIS,
    BEST_PARENT, /* nodes measure the model that they receive: the version before is known now */
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
    uint64_t held;
    uint64_t round;
    uint64_t deadline_ns;
    double rate;           /* FX_CLOSE and FX_COMMIT of a round: the server's learning rate */
    bool undone;           /* FX_COMMIT */
    enum commit_best best; /* FX_COMMIT */
    bool paused;           /* FX_PERSIST_PAUSED */
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
    bool paused;        /* as is durable */
    bool pause_wanted;  /* as was asked for last */
    uint64_t paused_id; /* of FX_PERSIST_PAUSED; 0 none */
    uint64_t round;
    uint32_t attempt;
    uint32_t needed;   /* nodes that the round is for: the N of K of N */
    uint32_t selected; /* nodes that are asked: more than needed by over-selection */
    uint32_t k;        /* updates of asked nodes that close the round */
    uint32_t accepted; /* in the set, late ones too */
    uint32_t accepted_late;
    uint32_t stand_ins; /* members for which the server's momentum is counted */
    uint32_t folding;   /* FX_FOLD and FX_FOLD_WAITING without completion */
    bool time_is_up;    /* closes with what is there */
    bool undone;        /* of the commit under way: an older version is restored */
    double rate;        /* of the round being closed */
    double aggregate_norm;
    bool measured; /* validation_loss is of this round */
    bool measured_accuracy;
    double validation_loss;
    double validation_accuracy;
    struct convergence convergence;
    struct base_ref bases[STALENESS_MAX + 1]; /* of round r at r modulo their number */
};

/*
 * Makes a machine that waits for EV_START. members and order: the caller's memory, capacity each,
 * untouched by others as long as the machine lives. Settings out of range abort.
 */
void coordinator_init(struct coordinator *coordinator, const struct coordinator_settings *settings,
                      struct member *members, uint32_t *order, uint32_t capacity);

/*
 * Whether time alone changes something by now. A shell then steps EV_TIMER and carries its effects
 * out before it steps another event: FX_ANNOUNCE and the like are told from the machine's state,
 * which that event may change (a cancelled job has no deadline to announce).
 */
static inline bool coordinator_is_due(const struct coordinator *coordinator, uint64_t now_ns)
{
    return coordinator->phase != COORDINATOR_FAILED && now_ns >= coordinator->deadline_ns;
}

/*
 * Applies time, then the event; writes the effects in the order in which they must be begun.
 * Never fails: a bad event from outside is answered by an effect, one of ours aborts.
 */
void coordinator_step(struct coordinator *coordinator, const struct coordinator_event *event,
                      struct coordinator_effects *ret_effects);

/*
 * Whether the job is cancelled because its last round was repeated too often. Known to the machine
 * that saw it, not to one started again after it.
 */
bool coordinator_gave_up(const struct coordinator *coordinator);

/* Whether that round may not ask the member, nor count an update of it. */
static inline bool coordinator_shuts_out(const struct coordinator *coordinator,
                                         const struct member *member, uint64_t round)
{
    return coordinator->settings.quarantine == QUARANTINE_AUTO && round < member->reputation.until;
}

/* What an update would be answered now; REASON_UNSPECIFIED: it would be taken or acknowledged. */
enum reason coordinator_screen(const struct coordinator *coordinator,
                               const struct update_info *info);

/* Whether that update is in the accepted set already: it is acknowledged without its payload. */
bool coordinator_holds(const struct coordinator *coordinator, const struct update_info *info);
