/*
 * envelope.h - signed headers: encoded, signed, parsed with the cheap checks, verified.
 *
 * Not here: whether a header fits the open round (core/), the role of its signer (identity/), the
 * payload (host/).
 */
#pragma once

#include "base/reason.h"
#include "wire/signer.h"

#include <stdbool.h>

enum {
    WIRE_VERSION = 1,
    JOB_NAME_MAX = 65, /* bytes with the zero */
    INSTANCE_ID_BYTES = 16,
    HEADER_BYTES_MAX = 4096,   /* a serialised header */
    ENVELOPE_BYTES_MAX = 8448, /* header, signature and their tags */
    CODEC_ID_LIMIT = 64,       /* codec ids are under this */
};

enum envelope_kind {
    ENVELOPE_UPDATE = 1,
    ENVELOPE_BEACON = 2,
    ENVELOPE_COMMIT = 3,
    ENVELOPE_STATEMENT = 4,
};

/* fedra.v1.Header, where every field's unit and range is written. A digest that is absent is 0. */
struct envelope_header {
    enum envelope_kind kind;
    uint32_t hash_id; /* DIGEST_SHA256 */
    uint32_t codec_id;
    uint32_t fork;
    uint32_t attempt;
    uint32_t updates;
    char spiffe_id[SPIFFE_ID_MAX];
    char job[JOB_NAME_MAX];
    struct digest key_id;
    uint64_t epoch;
    uint64_t round;
    uint64_t base_number;
    struct digest base_id;
    struct digest base_digest;
    uint64_t sequence;
    struct digest payload_digest;
    uint64_t payload_length;
    struct digest layout_digest;
    uint64_t samples;
    double loss;
    bool has_accuracy;
    bool has_holdout_loss;
    bool has_holdout_accuracy;
    double accuracy;
    double holdout_loss;
    double holdout_accuracy;
    uint64_t holdout_samples;
    /* Beacons. */
    uint64_t version_number;
    struct digest version_id;
    struct digest model_digest;
    struct digest model_blob_digest;
    uint64_t model_blob_length;
    uint64_t deadline_ms;
    uint8_t instance_id[INSTANCE_ID_BYTES];
};

/* What a receiver takes. */
struct envelope_limits {
    uint64_t payload_bytes_max; /* of payloads and announced models */
    uint64_t codecs;            /* bit i: codec id i is taken */
};

/* A parsed envelope. The slices lie in the bytes it was parsed from. */
struct envelope {
    struct envelope_header header;
    struct slice header_bytes;
    struct slice signature;
};

/* Why something was refused: for the sender, the metrics and the log. */
struct refusal {
    enum reason reason;
    struct error error;
};

/* The context string that headers of this kind are signed under, static. */
const char *envelope_context(enum envelope_kind kind);

/*
 * Appends the serialised header; equal headers give equal bytes. The version is WIRE_VERSION.
 * A header that envelope_parse would refuse is our own mistake: INVAL with what is wrong in err.
 * LIMIT and NO_MEMORY from out. Nothing is appended on error.
 */
[[nodiscard]] enum status header_encode(const struct envelope_header *header, struct bytes *out,
                                        struct error *err);

/*
 * Reads a serialised header and checks all that can be checked without keys or state: version,
 * kind, lengths, strings, ranges, finiteness, hash, codec. Unknown fields are ignored (the
 * signature covers them); of a field that comes twice the last one counts, as protobuf has it.
 *
 * limits   what is taken.
 * refusal  may be null; reason and text where the status is PEER or LIMIT.
 *
 * PEER where it is malformed, LIMIT for a payload too large, NO_MEMORY (not the peer's fault).
 */
[[nodiscard]] enum status header_decode(struct slice input, const struct envelope_limits *limits,
                                        struct envelope_header *ret_header,
                                        struct refusal *refusal);

/*
 * Fills in the signer's name and key id, encodes, signs under the kind's context, and appends the
 * serialised envelope. The header is changed only in spiffe_id and key_id. Errors of header_encode
 * and of the signer; nothing is appended then.
 */
[[nodiscard]] enum status envelope_seal(struct envelope_header *header, const struct signer *signer,
                                        struct bytes *out, struct error *err);

/*
 * Splits an envelope and decodes its header: the cheap checks. Says nothing of who signed it.
 * input must outlive ret_envelope. Errors as header_decode.
 */
[[nodiscard]] enum status envelope_parse(struct slice input, const struct envelope_limits *limits,
                                         struct envelope *ret_envelope, struct refusal *refusal);

/*
 * Verifies the signature over the header bytes as they came; the key's SPIFFE id must be the
 * header's. The role is for the caller to check. Thread-safe where the verifier is.
 *
 * now_unix_s  wall time in seconds, for the validity of the key.
 * refusal     may be null; IDENTITY or SIGNATURE.
 *
 * IDENTITY, SIGNATURE; anything else is a local fault (reason INTERNAL).
 */
[[nodiscard]] enum status envelope_verify(const struct envelope *envelope,
                                          const struct verifier *verifier, int64_t now_unix_s,
                                          struct refusal *refusal);
