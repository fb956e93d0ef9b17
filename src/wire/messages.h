/*
 * messages.h - the federation's messages between plain structs and protobuf bytes.
 *
 * Encoders append to a buffer, and nothing on error: LIMIT or NO_MEMORY from the buffer, INVAL for
 * a field that the decoder would refuse (our own mistake). Decoders check every length, number and
 * string: PEER with what was wrong in err (may be null), NO_MEMORY, LIMIT for a message that needs
 * more memory than its kind may. They copy what is small; slices lie in the input, which must
 * outlive the struct. Nothing needs to be freed.
 *
 * Not here: envelopes (envelope.h), commit records (record.h), framing (rpc/).
 */
#pragma once

#include "wire/envelope.h"

enum {
    CHAIN_COUNT_MAX = 8,
    CERTIFICATE_BYTES_MAX = 65536,
    RESUME_TOKEN_BYTES_MAX = 256,
    CHUNK_PREFIX_BYTES_MAX = 32,
    MESSAGE_TEXT_MAX = ERROR_TEXT_MAX, /* bytes with the zero */
    /* The largest serialised message of each sort. */
    JOIN_BYTES_MAX = 532480,
    DIRECTIVE_BYTES_MAX = 532480,
    SMALL_MESSAGE_BYTES_MAX = 2048,
    UPDATE_PART_BYTES_MAX = BLOB_CHUNK_BYTES + 2 * CHUNK_PREFIX_BYTES_MAX,
};

/* DER certificates, leaf first. */
struct certificate_chain {
    uint32_t count;
    struct slice certificates[CHAIN_COUNT_MAX];
};

/* Names one update of the node that joined; epoch and attempt as signed. */
struct update_ref {
    uint32_t fork;
    uint32_t attempt;
    uint64_t epoch;
    uint64_t round;
    struct digest payload_digest;
};

enum held_state {
    HELD_UNSENT = 1,
    HELD_ACCEPTED = 2,
};

struct join_request {
    char spiffe_id[SPIFFE_ID_MAX];
    char job[JOB_NAME_MAX];
    uint64_t epoch_seen; /* 0: none */
    struct certificate_chain chain;
    struct slice resume_token; /* empty at first */
    bool has_held;
    enum held_state held_state;
    struct update_ref held;
};

struct welcome {
    struct certificate_chain chain;
    uint8_t instance_id[INSTANCE_ID_BYTES];
    uint64_t epoch;
    struct slice resume_token;
    uint64_t message_bytes_max;
    uint32_t chunk_bytes; /* 1 to BLOB_CHUNK_BYTES */
    char job[JOB_NAME_MAX];
};

struct counted {
    struct update_ref update;
    uint64_t version_number;
    struct digest version_id;
};

struct dropped {
    struct update_ref update;
    enum reason reason;
    char text[MESSAGE_TEXT_MAX];
};

/* fedra.v1.Outcome. */
enum wire_outcome {
    WIRE_OUTCOME_NONE = 0,
    WIRE_OUTCOME_CONVERGED = 1,
    WIRE_OUTCOME_DIVERGED = 2,
    WIRE_OUTCOME_EXHAUSTED = 3,
    WIRE_OUTCOME_CANCELLED = 4,
};

struct finished {
    enum wire_outcome outcome; /* not NONE */
    uint64_t version_number;
    struct digest version_id;
    char text[MESSAGE_TEXT_MAX];
};

enum directive_kind {
    DIRECTIVE_WELCOME = 1,
    DIRECTIVE_BEACON = 2,
    DIRECTIVE_COUNTED = 3,
    DIRECTIVE_DROPPED = 4,
    DIRECTIVE_DRAIN = 5,
    DIRECTIVE_FINISHED = 6,
    DIRECTIVE_OFFER = 7,
};

struct directive {
    enum directive_kind kind;
    union {
        struct welcome welcome;
        struct slice beacon; /* a serialised envelope, for envelope_parse */
        struct counted counted;
        struct dropped dropped;
        char drain_text[MESSAGE_TEXT_MAX];
        struct finished finished;
        struct update_ref offer; /* the held update that can still be counted */
    };
};

struct blob_request {
    struct digest digest;
    uint64_t offset; /* bytes */
};

/* A piece of a blob; data lies in the message. */
struct chunk {
    uint64_t offset;   /* bytes */
    struct slice data; /* at most BLOB_CHUNK_BYTES */
};

enum update_part_kind {
    UPDATE_PART_ENVELOPE = 1,
    UPDATE_PART_CHUNK = 2,
};

struct update_part {
    enum update_part_kind kind;
    union {
        struct slice envelope; /* a serialised envelope, for envelope_parse */
        struct chunk chunk;
    };
};

struct receipt {
    bool accepted;
    enum reason reason; /* where refused */
    char text[MESSAGE_TEXT_MAX];
};

enum pulse_state {
    PULSE_IDLE = 1,
    PULSE_PULLING = 2,
    PULSE_TRAINING = 3,
    PULSE_PUSHING = 4,
    PULSE_DRAINING = 5,
};

struct pulse {
    uint64_t sequence; /* 1 or more */
    uint64_t sent_ms;  /* the sender's own clock */
    enum pulse_state state;
};

[[nodiscard]] enum status join_request_encode(const struct join_request *request,
                                              struct bytes *out);
[[nodiscard]] enum status join_request_decode(struct slice input, struct join_request *ret_request,
                                              struct error *err);

[[nodiscard]] enum status directive_encode(const struct directive *directive, struct bytes *out);
[[nodiscard]] enum status directive_decode(struct slice input, struct directive *ret_directive,
                                           struct error *err);

[[nodiscard]] enum status blob_request_encode(const struct blob_request *request,
                                              struct bytes *out);
[[nodiscard]] enum status blob_request_decode(struct slice input, struct blob_request *ret_request,
                                              struct error *err);

/*
 * Writes what stands before size bytes of data in a Chunk, so that the data itself is sent from
 * where it lies: the message is the prefix followed by the data. size at most BLOB_CHUNK_BYTES
 * (aborts). Gives the prefix's size. Cannot fail.
 */
size_t chunk_prefix_encode(uint64_t offset, size_t size,
                           uint8_t ret_prefix[static CHUNK_PREFIX_BYTES_MAX]);
[[nodiscard]] enum status chunk_decode(struct slice input, struct chunk *ret_chunk,
                                       struct error *err);

/* The first part of an update: a serialised envelope (envelope_seal). */
[[nodiscard]] enum status update_part_encode_envelope(struct slice envelope, struct bytes *out);

/* As chunk_prefix_encode, for a Chunk within an UpdatePart. */
size_t update_part_prefix_encode(uint64_t offset, size_t size,
                                 uint8_t ret_prefix[static CHUNK_PREFIX_BYTES_MAX]);
[[nodiscard]] enum status update_part_decode(struct slice input, struct update_part *ret_part,
                                             struct error *err);

[[nodiscard]] enum status receipt_encode(const struct receipt *receipt, struct bytes *out);
[[nodiscard]] enum status receipt_decode(struct slice input, struct receipt *ret_receipt,
                                         struct error *err);

[[nodiscard]] enum status pulse_encode(const struct pulse *pulse, struct bytes *out);
[[nodiscard]] enum status pulse_decode(struct slice input, struct pulse *ret_pulse,
                                       struct error *err);
