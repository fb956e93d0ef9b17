/*
 * mesh.h - how messages travel between an aggregator (the hub) and those who train (leaves).
 *
 * Two ops tables; today's implementation is direct connections over rpc (mesh_direct.h). Everything
 * runs on one event loop's thread; no function calls a handler before it returns. Not here: what is
 * decided about messages (core/), signatures (host's workers), bytes of messages (wire/).
 */
#pragma once

#include "wire/messages.h"

enum { MESH_NAME_MAX = SPIFFE_ID_MAX, MESH_REASON_MAX = ERROR_TEXT_MAX };

struct hub;
struct leaf;

/* What the owner of a hub is told. Every slot is required. */
struct hub_handlers {
    /*
     * A member's Join began. session is 1 or more and never used again by this hub; peer is the
     * SPIFFE id that TLS verified; request's slices are valid during the callback. The answer comes
     * by hub_send (a Welcome first) or hub_end.
     */
    void (*on_join)(void *context, uint64_t session, const char *peer,
                    const struct join_request *request);
    /* A session ended, by whatever side; exactly once for each on_join. */
    void (*on_leave)(void *context, uint64_t session);
    /*
     * An update's envelope came and passed the cheap checks (envelope_parse). ticket is 1 or more
     * and never used again. Gives the memory for its payload in *ret_payload
     * (header.payload_length bytes, the owner's until on_payload or on_gone), and OK; or AGAIN: no
     * room now, reading stops until hub_resume(ticket), which asks once more; or the owner has
     * answered or will answer by hub_receipt without wanting the payload: EXISTS.
     * envelope's slices are valid during the callback only.
     */
    enum status (*on_offer)(void *context, uint64_t ticket, const char *peer,
                            const struct envelope *envelope, uint8_t **ret_payload);
    /* The payload is whole in that memory and has this blob digest. Answer by hub_receipt. */
    void (*on_payload)(void *context, uint64_t ticket, const struct digest *payload_digest);
    /*
     * The call is over without a receipt (connection lost, deadline, protocol broken). Not called
     * after hub_receipt. The payload's memory is the owner's again.
     */
    void (*on_gone)(void *context, uint64_t ticket);
    /* An envelope or part was refused by the cheap checks, and answered; to count and log. */
    void (*on_refused)(void *context, const char *peer, const struct refusal *refusal);
    /* A connection ends because its peer's certificate does; to log. What it held follows. */
    void (*on_expired)(void *context, const char *peer);
    /* A connection was refused before any call: address, readable reason; to count and log. */
    void (*on_connection_refused)(void *context, const char *address, const char *reason);
    /*
     * Somebody asks for a blob. OK with its bytes, which must stay valid until on_blob_done was
     * called for that digest as often as this gave OK; NOT_FOUND.
     */
    enum status (*on_pull)(void *context, const struct digest *digest, struct slice *ret_bytes);
    void (*on_blob_done)(void *context, const struct digest *digest);
};

/* What the owner of a leaf is told. Every slot is required. */
struct leaf_handlers {
    /*
     * One directive, its slices valid during the callback. The first is a Welcome; another one
     * brings a new signing key of the hub. peer is the SPIFFE id that TLS verified.
     */
    void (*on_directive)(void *context, const char *peer, const struct directive *directive);
    /* The Join is over or never was; once for each leaf_join. Other calls were ended before. */
    void (*on_lost)(void *context, enum status status, const char *reason);
    /* Completes leaf_pull, once: OK when all bytes are there and the digest is right. */
    void (*on_pulled)(void *context, uint64_t id, enum status status, const char *reason);
    /* Completes leaf_push, once: OK with the receipt, else no receipt came. */
    void (*on_receipt)(void *context, uint64_t id, enum status status,
                       const struct receipt *receipt);
};

struct hub_ops {
    const char *name;
    enum status (*send)(struct hub *hub, uint64_t session, const struct directive *directive);
    void (*end)(struct hub *hub, uint64_t session, const char *reason);
    void (*receipt)(struct hub *hub, uint64_t ticket, const struct receipt *receipt);
    void (*resume)(struct hub *hub, uint64_t ticket);
    void (*drain)(struct hub *hub, uint32_t timeout_ms, void (*on_closed)(void *context));
};

struct leaf_ops {
    const char *name;
    enum status (*join)(struct leaf *leaf, const struct join_request *request, struct error *err);
    enum status (*pull)(struct leaf *leaf, uint64_t id, const struct digest *digest, uint8_t *bytes,
                        uint64_t size);
    enum status (*push)(struct leaf *leaf, uint64_t id, struct slice envelope,
                        struct slice payload);
    void (*cancel)(struct leaf *leaf, uint64_t id);
    void (*retire)(struct leaf *leaf);
    void (*leave)(struct leaf *leaf);
    void (*close)(struct leaf *leaf, void (*on_closed)(void *context));
};

/* The heads of every implementation's own structs. */
struct hub {
    const struct hub_ops *ops;
};
struct leaf {
    const struct leaf_ops *ops;
};

/*
 * Sends a directive over a session, in order. NOT_FOUND where it has ended; LIMIT where its queue
 * is full: the session is then ended (the member joins again), NO_MEMORY.
 */
[[nodiscard]] static inline enum status hub_send(struct hub *hub, uint64_t session,
                                                 const struct directive *directive)
{
    return hub->ops->send(hub, session, directive);
}

/*
 * Ends a session after the directives that were sent; its on_leave follows. The member's on_lost
 * has AGAIN and the reason. Unknown sessions are ignored.
 */
static inline void hub_end(struct hub *hub, uint64_t session, const char *reason)
{
    hub->ops->end(hub, session, reason);
}

/* Answers an update; the ticket ends. Unknown tickets are ignored. */
static inline void hub_receipt(struct hub *hub, uint64_t ticket, const struct receipt *receipt)
{
    hub->ops->receipt(hub, ticket, receipt);
}

/* Room may be there again for an offer that was answered AGAIN. Unknown tickets are ignored. */
static inline void hub_resume(struct hub *hub, uint64_t ticket)
{
    hub->ops->resume(hub, ticket);
}

/* Takes nothing new, lets what is open finish for timeout_ms, closes; then on_closed, once. */
static inline void hub_drain(struct hub *hub, uint32_t timeout_ms, void (*on_closed)(void *context))
{
    hub->ops->drain(hub, timeout_ms, on_closed);
}

/* Connects and joins; on_lost ends it. INVAL while a Join is open; UNREACHABLE, NO_MEMORY. */
[[nodiscard]] static inline enum status
leaf_join(struct leaf *leaf, const struct join_request *request, struct error *err)
{
    return leaf->ops->join(leaf, request, err);
}

/*
 * Fetches a blob of size bytes into the owner's memory, kept until on_pulled. id is not that of a
 * transfer under way. UNREACHABLE, NO_MEMORY; INVAL for an empty digest.
 */
[[nodiscard]] static inline enum status leaf_pull(struct leaf *leaf, uint64_t id,
                                                  const struct digest *digest, uint8_t *bytes,
                                                  uint64_t size)
{
    return leaf->ops->pull(leaf, id, digest, bytes, size);
}

/*
 * Offers an update; both slices stay valid until on_receipt. id is not that of a transfer under
 * way. UNREACHABLE, NO_MEMORY; INVAL for an envelope of a size that none has.
 */
[[nodiscard]] static inline enum status leaf_push(struct leaf *leaf, uint64_t id,
                                                  struct slice envelope, struct slice payload)
{
    return leaf->ops->push(leaf, id, envelope, payload);
}

/* Ends a pull or push under way with CANCELLED; it still completes. */
static inline void leaf_cancel(struct leaf *leaf, uint64_t id)
{
    leaf->ops->cancel(leaf, id);
}

/*
 * Another leaf has taken its place: it begins no transfer any more, and ends with on_lost when
 * those under way are complete and the hub has ended the Join, whose directives come until then.
 */
static inline void leaf_retire(struct leaf *leaf)
{
    leaf->ops->retire(leaf);
}

/* Ends the Join and its connection; on_lost follows (CANCELLED). */
static inline void leaf_leave(struct leaf *leaf)
{
    leaf->ops->leave(leaf);
}

/* Frees everything; then on_closed, once, and no other handler after it. */
static inline void leaf_close(struct leaf *leaf, void (*on_closed)(void *context))
{
    leaf->ops->close(leaf, on_closed);
}
