/*
 * samples.h - structs that say the same as the golden text messages, and small helpers.
 *
 * The golden bytes come from protobuf's own encoder (golden/generate.sh), never from our code.
 */
#pragma once

#include "keyed_signer.h"
#include "wire/record.h"

#include "testing.h"

#include <stdio.h>

#define NODE_NAME        "spiffe://fedra.test/fedra/node/n1"
#define COORDINATOR_NAME "spiffe://fedra.test/fedra/coordinator"

static const struct envelope_limits all_limits = {UINT64_MAX, UINT64_MAX};

/* 32 bytes that count up from first, as in the golden texts. */
static inline struct digest counting_digest(uint8_t first)
{
    struct digest digest;
    for (int i = 0; i < DIGEST_BYTES; i++)
        digest.bytes[i] = (uint8_t)(first + i);
    return digest;
}

static inline void counting_instance(uint8_t ret[static INSTANCE_ID_BYTES])
{
    for (int i = 0; i < INSTANCE_ID_BYTES; i++)
        ret[i] = (uint8_t)(0x90 + i);
}

static inline struct envelope_header sample_update(void)
{
    struct envelope_header header = {
        .kind = ENVELOPE_UPDATE,
        .hash_id = DIGEST_SHA256,
        .codec_id = 3,
        .fork = 2,
        .attempt = 1,
        .updates = 1,
        .spiffe_id = NODE_NAME,
        .job = "fashion",
        .key_id = counting_digest(0x10),
        .epoch = 7,
        .round = 300,
        .base_number = 299,
        .base_id = counting_digest(0x20),
        .base_digest = counting_digest(0x30),
        .sequence = 1000000007,
        .payload_digest = counting_digest(0x40),
        .payload_length = 7850000000,
        .layout_digest = counting_digest(0x50),
        .samples = 60000,
        .loss = 0.375,
        .has_accuracy = true,
        .accuracy = 0.875,
        .has_holdout_loss = true,
        .holdout_loss = -0.5,
        .has_holdout_accuracy = true,
        .holdout_samples = 100,
    };
    return header;
}

static inline struct envelope_header sample_beacon(void)
{
    struct envelope_header header = {
        .kind = ENVELOPE_BEACON,
        .hash_id = DIGEST_SHA256,
        .spiffe_id = COORDINATOR_NAME,
        .job = "fashion",
        .key_id = counting_digest(0x10),
        .epoch = UINT64_MAX,
        .round = 1,
        .sequence = 5,
        .layout_digest = counting_digest(0x50),
        .version_number = 9,
        .version_id = counting_digest(0x60),
        .model_digest = counting_digest(0x70),
        .model_blob_digest = counting_digest(0x80),
        .model_blob_length = 31400,
        .deadline_ms = 60000,
    };
    counting_instance(header.instance_id);
    return header;
}

static inline struct record_head sample_head(void)
{
    struct record_head head = {
        .job = "fashion",
        .hash_id = DIGEST_SHA256,
        .fork = 2,
        .attempt = 1,
        .epoch = 7,
        .number = 301,
        .parent_id = counting_digest(0x20),
        .round = 300,
        .rule = "trimmed_mean",
        .parameter_count = 2,
        .parameters = {{"share", "0.1"}, {"tolerance", "0.3"}},
        .rule_state_digest = counting_digest(0xa0),
        .learning_rate = 0.5,
        .round_seed = 0x0123456789abcdef,
        .validation_source = VALIDATION_NODES,
        .validation_loss = 0.375,
        .validation_accuracy = 0.875,
        .validation_samples = 10000,
        .validation_choice = "median",
        .model_digest = counting_digest(0x70),
        .model_blob_digest = counting_digest(0x80),
        .model_blob_length = 31400,
        .layout_digest = counting_digest(0x50),
        .aggregate_norm = 2,
        .committed_unix_ms = 1795510000000,
        .outcome = WIRE_OUTCOME_CONVERGED,
    };
    counting_instance(head.instance_id);
    return head;
}

/* The caller frees with bytes_deinit. */
static inline struct bytes golden_read(const char *name)
{
    char path[512];
    uint8_t content[16384];
    snprintf(path, sizeof(path), "%s/%s.bin", GOLDEN_FOLDER, name);
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(content, 1, sizeof(content), file);
    fclose(file);
    assert_true(size > 0 && size < sizeof(content));
    struct bytes bytes;
    bytes_init(&bytes, sizeof(content));
    assert_int_equal(bytes_append(&bytes, content, size), STATUS_OK);
    return bytes;
}

static inline void assert_golden(const struct bytes *encoded, const char *name)
{
    struct bytes golden = golden_read(name);
    assert_int_equal(encoded->size, golden.size);
    assert_memory_equal(encoded->data, golden.data, golden.size);
    bytes_deinit(&golden);
}

/*
 * Equal in every field: as bytes, since padding may differ. That each field is encoded is shown
 * against the golden messages.
 */
static inline void assert_same_header(const struct envelope_header *a,
                                      const struct envelope_header *b)
{
    struct bytes bytes[2];
    for (int i = 0; i < 2; i++) {
        bytes_init(&bytes[i], HEADER_BYTES_MAX);
        assert_int_equal(header_encode(i == 0 ? a : b, &bytes[i], nullptr), STATUS_OK);
    }
    assert_int_equal(bytes[0].size, bytes[1].size);
    assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].size);
    bytes_deinit(&bytes[0]);
    bytes_deinit(&bytes[1]);
}

/* Whether a decoder takes the bytes; each call gets its own exact copy, so that ASan sees a step
 * too far. */
static inline bool taken(enum status (*decode)(struct slice input), const uint8_t *data,
                         size_t size)
{
    uint8_t *const copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, data, size);
    const enum status status = decode((struct slice){copy, size});
    free(copy);
    return status == STATUS_OK;
}

/* Cuts at each byte and flips each bit of a message: nothing may crash. */
static inline void torture(enum status (*decode)(struct slice input), const struct bytes *message)
{
    assert_true(taken(decode, message->data, message->size));
    for (size_t size = 0; size < message->size; size++)
        (void)taken(decode, message->data, size);
    for (size_t i = 0; i < message->size * 8; i++) {
        message->data[i / 8] ^= (uint8_t)(1U << (i % 8));
        (void)taken(decode, message->data, message->size);
        message->data[i / 8] ^= (uint8_t)(1U << (i % 8));
    }
}
