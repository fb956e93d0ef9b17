/*
 * outbox.h - what a node keeps: its one pending update, what became of it, the highest epoch seen.
 *
 * Two implementations behind one table: files (outbox_file_open) and memory (outbox_memory_open).
 * Synchronous, may block on the disk, not thread-safe. Not here: what an envelope says (wire/).
 *
 * Files: lock, slot-0 and slot-1 (overwritten in turn, so a torn write never destroys the update
 * before), epoch, receipts.log (and receipts.log.1): lines "seq round attempt digest state detail".
 */
#pragma once

#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    OUTBOX_ENVELOPE_BYTES_MAX = 16384,
    OUTBOX_DETAIL_MAX = 256,        /* bytes of a detail, with its zero */
    OUTBOX_LOG_BYTES_MAX = 1 << 20, /* receipts.log is rotated when it would pass this */
};

#define OUTBOX_PAYLOAD_BYTES_MAX (UINT64_C(16) << 30)

/* What became of an update. COUNTED and DROPPED are final. */
enum outbox_state {
    OUTBOX_HELD,
    OUTBOX_ACCEPTED,
    OUTBOX_COUNTED,
    OUTBOX_DROPPED,
    OUTBOX_REFUSED,
};

/* What the update is, for receipts.log; the rest is in the envelope. */
struct outbox_key {
    uint64_t round;
    uint64_t attempt;
    struct digest payload_digest;
};

struct outbox_update {
    uint64_t sequence; /* rises with every put, also over restarts */
    struct outbox_key key;
    enum outbox_state state;
    char detail[OUTBOX_DETAIL_MAX]; /* as given to outbox_set_state, made printable */
    struct slice envelope;          /* the outbox's, until the next put or close */
    struct slice payload;           /* the same; files are mapped */
};

struct outbox;

/* The slots hold what the functions below say; arguments were checked before a slot is called. */
struct outbox_ops {
    const char *name;
    enum status (*put)(struct outbox *outbox, const struct outbox_key *key, struct slice envelope,
                       const struct slice *payload, size_t count, uint64_t *ret_sequence,
                       struct error *err);
    enum status (*get)(struct outbox *outbox, struct outbox_update *ret_update, struct error *err);
    enum status (*set_state)(struct outbox *outbox, uint64_t sequence, enum outbox_state state,
                             const char *detail, struct error *err);
    uint64_t (*epoch)(const struct outbox *outbox);
    enum status (*raise_epoch)(struct outbox *outbox, uint64_t epoch, struct error *err);
    void (*close)(struct outbox *outbox);
};

/* The head of every implementation's own struct. */
struct outbox {
    const struct outbox_ops *ops;
};

/*
 * Opens the outbox in a folder (made where it is missing; its parent must exist). The newest whole
 * update is found, a torn one is passed over. EXISTS: another process has it (its pid is named);
 * VERSION, CORRUPT (the epoch file), NO_SPACE, IO, NO_MEMORY.
 */
[[nodiscard]] enum status outbox_file_open(const char *folder, struct outbox **ret_outbox,
                                           struct error *err);

/* An empty outbox in memory. NO_MEMORY. */
[[nodiscard]] enum status outbox_memory_open(struct outbox **ret_outbox);

/* Loses what a crash and a new start may lose: the state, which is HELD again. */
void outbox_memory_crash(struct outbox *outbox);

/*
 * Makes an update (the payload's count slices one after another) the pending one, HELD; durable
 * when it returns, by one fdatasync. On an error the update before is still the pending one; so it
 * is as long as what became of it cannot be noted.
 * INVAL (empty or too long an envelope), LIMIT (payload), NO_SPACE, IO, NO_MEMORY.
 */
[[nodiscard]] enum status outbox_put(struct outbox *outbox, const struct outbox_key *key,
                                     struct slice envelope, const struct slice *payload,
                                     size_t count, uint64_t *ret_sequence, struct error *err);

/* The pending update. NOT_FOUND where none was ever put. */
[[nodiscard]] enum status outbox_get(struct outbox *outbox, struct outbox_update *ret_update,
                                     struct error *err);

/*
 * Notes what became of the pending update; may be lost in a crash. NOT_FOUND where sequence is not
 * the pending one's; INVAL after COUNTED or DROPPED unless it says the same state again; IO,
 * NO_SPACE (then it is noted before the next put).
 */
[[nodiscard]] enum status outbox_set_state(struct outbox *outbox, uint64_t sequence,
                                           enum outbox_state state, const char *detail,
                                           struct error *err);

/* The highest epoch seen; 0 at first. */
uint64_t outbox_epoch(const struct outbox *outbox);

/* Raises it durably; a lower or equal one changes nothing. IO, NO_SPACE. */
[[nodiscard]] enum status outbox_raise_epoch(struct outbox *outbox, uint64_t epoch,
                                             struct error *err);

/* Ends the use; null is allowed. */
void outbox_close(struct outbox *outbox);

/* The name of a state as receipts.log has it ("COUNTED"), static. */
const char *outbox_state_name(enum outbox_state state);
