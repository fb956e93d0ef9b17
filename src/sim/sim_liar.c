/*
 * sim_liar.c - what a node sends that lies: never instead of its update, always beside it.
 */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum lie {
    LIE_OTHER_PAYLOAD, /* signed, for the same round: equivocation */
    LIE_OTHER_SAMPLES,
    LIE_GARBAGE, /* a byte of the envelope is another one */
    LIE_NAME,    /* it signs as somebody else */
    LIE_DIGEST,  /* the payload is not the one that is signed */
    LIE_NAN,
    LIE_NORM,
    LIE_NO_SAMPLES,
    LIE_FUTURE_ROUND,
    LIE_PAST_ROUND,
    LIE_FUTURE_EPOCH,
    LIE_FUTURE_ATTEMPT,
    LIE_BASE,
    LIE_JOB,
    LIE_FORK,
    LIE_SHAPE,
    LIE_REPLAY, /* what it sent before, once more */
    LIE_COUNT,
};

static void falsify(enum lie lie, struct random *random, struct envelope_header *header,
                    float *values, uint64_t count)
{
    const uint64_t place = random_below(random, count);
    switch (lie) {
    case LIE_OTHER_SAMPLES:
        header->samples += 1 + random_below(random, 100);
        break;
    case LIE_NAN:
        values[place] = random_below(random, 2) ? NAN : INFINITY;
        break;
    case LIE_NORM:
        values[place] = 1e6F;
        break;
    case LIE_NO_SAMPLES:
        header->samples = 0;
        break;
    case LIE_FUTURE_ROUND:
        header->round += 1 + random_below(random, 3);
        break;
    case LIE_PAST_ROUND:
        header->round -= random_below(random, header->round);
        break;
    case LIE_FUTURE_EPOCH:
        header->epoch += 1 + random_below(random, 3);
        break;
    case LIE_FUTURE_ATTEMPT:
        header->attempt += 1 + (uint32_t)random_below(random, 3);
        break;
    case LIE_BASE:
        header->base_id.bytes[random_below(random, DIGEST_BYTES)] ^= 1;
        break;
    case LIE_JOB:
        header->job[0] ^= 1;
        break;
    case LIE_FORK:
        header->fork++;
        break;
    case LIE_SHAPE:
        header->layout_digest.bytes[0] ^= 1;
        break;
    case LIE_OTHER_PAYLOAD:
    case LIE_GARBAGE:
    case LIE_NAME:
    case LIE_DIGEST:
    case LIE_REPLAY:
    case LIE_COUNT:
        break;
    }
}

/* Signs it as it is; what it would never sign itself it may still send. */
static bool seal(struct world *w, uint32_t index, enum lie lie, struct envelope_header *header,
                 struct payload *payload, struct bytes *envelope)
{
    struct signer signer = w->nodes[index].signer;
    if (lie != LIE_DIGEST)
        header->payload_digest = payload->digest;
    if (lie == LIE_NAME)
        memcpy(signer.spiffe_id, w->names[(index + 1) % w->plan->nodes], SPIFFE_ID_MAX);
    if (envelope_seal(header, &signer, envelope, nullptr) != STATUS_OK)
        return false;
    if (lie != LIE_DIGEST)
        archive_put(w, payload);
    if (lie == LIE_GARBAGE) {
        const uint64_t at = random_below(&w->random, envelope->size);
        envelope->data[at] ^= (uint8_t)(1 + random_below(&w->random, 255));
    }
    return true;
}

void liar_lies(struct world *w, uint32_t index, const struct envelope_header *honest)
{
    struct sim_node *const node = &w->nodes[index];
    const enum lie lie = (enum lie)random_below(&w->random, LIE_COUNT);
    struct envelope_header header = *honest;
    struct bytes envelope;
    float *const values = malloc(sizeof(*values) * w->parameter_count);
    CHECK(values != nullptr);
    bytes_init(&envelope, ENVELOPE_BYTES_MAX);
    for (uint64_t i = 0; i < w->parameter_count; i++)
        values[i] = (float)(random_unit(&w->random) - 0.5);
    falsify(lie, &w->random, &header, values, w->parameter_count);
    struct payload *const payload = payload_create(values, w->layout);
    if (lie == LIE_REPLAY && node->old_envelope.size > 0)
        CHECK(bytes_append(&envelope, node->old_envelope.data, node->old_envelope.size) ==
              STATUS_OK);
    else if (!seal(w, index, lie, &header, payload, &envelope))
        envelope.size = 0;
    if (envelope.size > 0) {
        node->old_envelope.size = 0;
        CHECK(bytes_append(&node->old_envelope, envelope.data, envelope.size) == STATUS_OK);
        node_send_update(w, index, bytes_slice(&envelope), payload, 0);
    }
    payload_unref(payload);
    bytes_deinit(&envelope);
}
