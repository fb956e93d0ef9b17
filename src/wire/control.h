/*
 * control.h - the messages of fedra.v1.Control between plain structs and protobuf bytes.
 *
 * As messages.h: encoders append and give LIMIT, NO_MEMORY or INVAL; decoders check every length,
 * number and string and give PEER with what was wrong. Nothing needs to be freed. Not here: who may
 * call, and what is done (admin/).
 */
#pragma once

#include "robust/robust.h"
#include "wire/messages.h"

enum {
    CONTROL_REASONS_MAX = 32, /* numbers of enum reason are below */
    CONTROL_NAME_MAX = SPIFFE_ID_MAX,
    CONTROL_PAGE_MEMBERS_MAX = 1000,
    CONTROL_PAGE_MEMBERS = 100, /* where no size is asked for */
    /* The largest serialised message of each sort. */
    CONTROL_REQUEST_BYTES_MAX = 1024,
    CONTROL_STATUS_BYTES_MAX = 4096,
    CONTROL_MEMBER_BYTES_MAX = 2048,
    CONTROL_PAGE_BYTES_MAX = 1 << 20,
};

/* Every request: the fields that its kind does not have stay empty. */
enum control_request_kind {
    CONTROL_JOB_ONLY, /* GetStatus, WatchStatus, Pause, Resume, Cancel */
    CONTROL_LIST_MEMBERS,
    CONTROL_GET_MEMBER,
};

struct control_request {
    char job[JOB_NAME_MAX];            /* empty: whichever */
    uint32_t page_size;                /* 0: the default */
    char page_token[CONTROL_NAME_MAX]; /* the name that the page before ended with */
    char name[CONTROL_NAME_MAX];
};

/* What an operator may have a job do. */
enum control_action { CONTROL_PAUSE, CONTROL_RESUME, CONTROL_CANCEL };

/* fedra.v1.Phase. */
enum control_phase {
    CONTROL_PHASE_STARTING = 1,
    CONTROL_PHASE_GATHERING = 2,
    CONTROL_PHASE_COLLECTING = 3,
    CONTROL_PHASE_CLOSING = 4,
    CONTROL_PHASE_VALIDATING = 5,
    CONTROL_PHASE_COMMITTING = 6,
    CONTROL_PHASE_PAUSED = 7,
    CONTROL_PHASE_RESTORING = 8,
    CONTROL_PHASE_ENDING = 9,
    CONTROL_PHASE_ENDED = 10,
    CONTROL_PHASE_FAILED = 11,
};

/* fedra.v1.MemberState. */
enum control_member_state {
    CONTROL_MEMBER_AWAY = 1,
    CONTROL_MEMBER_IDLE = 2,
    CONTROL_MEMBER_ASKED = 3,
    CONTROL_MEMBER_ACCEPTED = 4,
    CONTROL_MEMBER_BUSY = 5,
    CONTROL_MEMBER_QUARANTINED = 6,
};

/* A committed round. */
struct control_round {
    uint64_t round; /* 0: there is none */
    uint32_t selected;
    uint32_t accepted;
    uint32_t late;
    uint64_t round_ms;
    bool has_loss;
    bool has_accuracy;
    double loss;
    double accuracy;
};

/* How often, by the number of enum reason. */
struct control_counts {
    uint64_t by_reason[CONTROL_REASONS_MAX];
};

struct control_status {
    char job[JOB_NAME_MAX];
    char coordinator[SPIFFE_ID_MAX];
    enum control_phase phase;
    bool paused;
    enum wire_outcome outcome;
    char outcome_text[MESSAGE_TEXT_MAX];
    uint64_t epoch;
    uint64_t round;
    uint32_t attempt;
    uint64_t rounds_max;
    uint32_t selected;
    uint32_t k;
    uint32_t accepted;
    uint32_t late;
    uint64_t deadline_ms; /* 0: none */
    uint32_t members;
    uint32_t connected;
    uint32_t members_wanted;
    uint64_t version_number;
    struct digest version_id; /* zero: no version yet */
    struct digest model_digest;
    struct control_round last;
    struct control_round best;
    uint64_t uptime_ms;
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct control_counts refusals;
    uint64_t sequence;
};

struct control_member {
    char spiffe_id[SPIFFE_ID_MAX];
    enum control_member_state state;
    bool connected;
    uint64_t since_unix_ms; /* 0: before this process started */
    uint64_t round_counted; /* 0: none */
    uint64_t counted;
    struct control_counts dropped;
    struct control_counts refused;
    uint64_t samples; /* 0: no update was accepted; loss means nothing then */
    double loss;
    uint64_t certificate_ends_unix_s; /* 0: unknown */
    double reputation;                /* [0, 1] */
    uint64_t rounds;                  /* it took part in */
    uint64_t flagged;                 /* of these */
    uint64_t flagged_round;           /* the last; 0: none, and the next two mean nothing */
    enum reason_suspected flag_reason;
    double flag_score;
    uint64_t quarantined_until; /* the first round that may ask it, or should; 0: the open one */
};

[[nodiscard]] enum status control_request_encode(enum control_request_kind kind,
                                                 const struct control_request *request,
                                                 struct bytes *out);
[[nodiscard]] enum status control_request_decode(enum control_request_kind kind, struct slice input,
                                                 struct control_request *ret_request,
                                                 struct error *err);

[[nodiscard]] enum status control_status_encode(const struct control_status *status,
                                                struct bytes *out);
[[nodiscard]] enum status
control_status_decode(struct slice input, struct control_status *ret_status, struct error *err);

[[nodiscard]] enum status control_member_encode(const struct control_member *member,
                                                struct bytes *out);
[[nodiscard]] enum status
control_member_decode(struct slice input, struct control_member *ret_member, struct error *err);

/* A page is written member by member, then finished; token is empty where no page follows. */
[[nodiscard]] enum status control_page_append(const struct control_member *member,
                                              struct bytes *out);
[[nodiscard]] enum status control_page_finish(const char *token, struct bytes *out);

/*
 * Takes the next member off a page, which is used up from its front. NOT_FOUND where none is left:
 * ret_token is then whole (empty before the first call, the caller's doing). PEER, NO_MEMORY.
 */
[[nodiscard]] enum status control_page_take(struct slice *page, struct control_member *ret_member,
                                            char ret_token[static CONTROL_NAME_MAX],
                                            struct error *err);

/* "collecting", "accepted", "exhausted" (empty while the job goes on), "pause"; static. */
const char *control_phase_name(enum control_phase phase);
const char *control_member_state_name(enum control_member_state state);
const char *control_outcome_name(enum wire_outcome outcome);
const char *control_action_name(enum control_action action);
