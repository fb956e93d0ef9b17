/*
 * envelope_test.c - headers and envelopes: the bytes against protobuf's own encoder, every cheap
 * check by a header that breaks it, signatures by bytes that were changed.
 */
#include "samples.h"

#include <math.h>

static struct keyed_ring ring = {2, {NODE_NAME, COORDINATOR_NAME}, {1000, 1000}, STATUS_OK};

static struct bytes seal(struct envelope_header *header, const char *name)
{
    struct keyed_signer state = {&ring, keyed_id(name)};
    struct signer signer = keyed_signer_for(&state);
    strcpy(signer.spiffe_id, name);
    struct bytes out;
    struct error err = {0};
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_seal(header, &signer, &out, &err), STATUS_OK);
    return out;
}

static void headers_encode_as_protobuf_does(void **state)
{
    struct error err;
    const struct envelope_header headers[] = {sample_update(), sample_beacon()};
    const char *const names[] = {"update_header", "beacon_header"};
    for (int i = 0; i < 2; i++) {
        struct bytes out;
        bytes_init(&out, HEADER_BYTES_MAX);
        assert_int_equal(header_encode(&headers[i], &out, &err), STATUS_OK);
        assert_golden(&out, names[i]);
        bytes_deinit(&out);
    }
}

static void headers_decode_to_what_the_text_says(void **state)
{
    const struct envelope_header headers[] = {sample_update(), sample_beacon()};
    const char *const names[] = {"update_header", "beacon_header"};
    for (int i = 0; i < 2; i++) {
        struct bytes golden = golden_read(names[i]);
        struct envelope_header header;
        memset(&header, 0, sizeof(header));
        assert_int_equal(header_decode(bytes_slice(&golden), &all_limits, &header, nullptr),
                         STATUS_OK);
        assert_same_header(&header, &headers[i]);
        bytes_deinit(&golden);
    }
}

/* A header that is refused, and why; edit breaks one thing. */
struct bad_header {
    void (*edit)(struct envelope_header *header);
    enum reason reason;
    const char *mentions;
    bool beacon;
};

static void no_kind(struct envelope_header *h)
{
    h->kind = 0;
}
static void odd_kind(struct envelope_header *h)
{
    h->kind = 9;
}
static void no_name(struct envelope_header *h)
{
    h->spiffe_id[0] = 0;
}
static void bare_scheme(struct envelope_header *h)
{
    strcpy(h->spiffe_id, "spiffe://");
}
static void other_scheme(struct envelope_header *h)
{
    h->spiffe_id[0] = 'S';
}
static void space_in_name(struct envelope_header *h)
{
    h->spiffe_id[12] = ' ';
}
static void umlaut_in_name(struct envelope_header *h)
{
    memcpy(h->spiffe_id + 12, "\xc3\xbc", 2);
}
static void no_job(struct envelope_header *h)
{
    h->job[0] = 0;
}
static void control_in_job(struct envelope_header *h)
{
    h->job[1] = '\n';
}
static void broken_utf8_in_job(struct envelope_header *h)
{
    h->job[1] = (char)0xc3;
}
static void no_key(struct envelope_header *h)
{
    h->key_id = (struct digest){0};
}
static void odd_hash(struct envelope_header *h)
{
    h->hash_id = 2;
}
static void odd_codec(struct envelope_header *h)
{
    h->codec_id = 64;
}
static void no_epoch(struct envelope_header *h)
{
    h->epoch = 0;
}
static void digest_without_length(struct envelope_header *h)
{
    h->payload_length = 0;
}
static void length_without_digest(struct envelope_header *h)
{
    h->payload_digest = (struct digest){0};
}
static void nan_loss(struct envelope_header *h)
{
    h->loss = NAN;
}
static void infinite_loss(struct envelope_header *h)
{
    h->loss = -INFINITY;
}
static void infinite_holdout(struct envelope_header *h)
{
    h->holdout_loss = INFINITY;
}
static void nan_accuracy(struct envelope_header *h)
{
    h->accuracy = NAN;
}
static void high_accuracy(struct envelope_header *h)
{
    h->accuracy = 1.5;
}
static void low_holdout(struct envelope_header *h)
{
    h->holdout_accuracy = -0.25;
}
static void too_many_samples(struct envelope_header *h)
{
    h->samples = (1ULL << 48) + 1;
}
static void too_many_holdout(struct envelope_header *h)
{
    h->holdout_samples = UINT64_MAX;
}
static void long_deadline(struct envelope_header *h)
{
    h->deadline_ms = 2592000001;
}
static void no_payload(struct envelope_header *h)
{
    h->payload_length = 0;
    h->payload_digest = (struct digest){0};
}
static void no_base_id(struct envelope_header *h)
{
    h->base_id = (struct digest){0};
}
static void no_base_digest(struct envelope_header *h)
{
    h->base_digest = (struct digest){0};
}
static void no_layout(struct envelope_header *h)
{
    h->layout_digest = (struct digest){0};
}
static void no_samples(struct envelope_header *h)
{
    h->samples = 0;
}
static void no_updates(struct envelope_header *h)
{
    h->updates = 0;
}
static void too_many_updates(struct envelope_header *h)
{
    h->updates = (1 << 20) + 1;
}
static void no_version(struct envelope_header *h)
{
    h->version_id = (struct digest){0};
}
static void no_model(struct envelope_header *h)
{
    h->model_digest = (struct digest){0};
}
static void no_blob(struct envelope_header *h)
{
    h->model_blob_digest = (struct digest){0};
}
static void empty_model(struct envelope_header *h)
{
    h->model_blob_length = 0;
}
static void no_instance(struct envelope_header *h)
{
    memset(h->instance_id, 0, 16);
}
static void commit_without_version(struct envelope_header *h)
{
    h->kind = ENVELOPE_COMMIT;
}

static const struct bad_header bad_headers[] = {
    {no_kind, REASON_MALFORMED, "kind 0", false},
    {odd_kind, REASON_MALFORMED, "kind 9", false},
    {no_name, REASON_MALFORMED, "spiffe_id", false},
    {bare_scheme, REASON_MALFORMED, "spiffe_id", false},
    {other_scheme, REASON_MALFORMED, "spiffe_id", false},
    {space_in_name, REASON_MALFORMED, "spiffe_id", false},
    {umlaut_in_name, REASON_MALFORMED, "spiffe_id", false},
    {no_job, REASON_MALFORMED, "job", false},
    {control_in_job, REASON_MALFORMED, "job", false},
    {broken_utf8_in_job, REASON_MALFORMED, "job", false},
    {no_key, REASON_MALFORMED, "key_id", false},
    {odd_hash, REASON_UNSUPPORTED, "hash 2", false},
    {odd_codec, REASON_UNSUPPORTED, "codec 64", false},
    {no_epoch, REASON_MALFORMED, "epoch", false},
    {digest_without_length, REASON_MALFORMED, "payload_digest", false},
    {length_without_digest, REASON_MALFORMED, "payload_digest", false},
    {nan_loss, REASON_NON_FINITE, "loss", false},
    {infinite_loss, REASON_NON_FINITE, "loss", false},
    {infinite_holdout, REASON_NON_FINITE, "loss", false},
    {nan_accuracy, REASON_MALFORMED, "accuracy", false},
    {high_accuracy, REASON_MALFORMED, "accuracy", false},
    {low_holdout, REASON_MALFORMED, "accuracy", false},
    {too_many_samples, REASON_SAMPLES, "samples", false},
    {too_many_holdout, REASON_SAMPLES, "samples", false},
    {long_deadline, REASON_MALFORMED, "deadline_ms", true},
    {no_payload, REASON_MALFORMED, "payload", false},
    {no_base_id, REASON_MALFORMED, "base_id", false},
    {no_base_digest, REASON_MALFORMED, "base_digest", false},
    {no_layout, REASON_MALFORMED, "layout_digest", false},
    {no_samples, REASON_SAMPLES, "no samples", false},
    {no_updates, REASON_SAMPLES, "0 updates", false},
    {too_many_updates, REASON_SAMPLES, "updates", false},
    {no_version, REASON_MALFORMED, "version_id", true},
    {no_model, REASON_MALFORMED, "digest", true},
    {no_blob, REASON_MALFORMED, "digest", true},
    {no_layout, REASON_MALFORMED, "digest", true},
    {empty_model, REASON_MALFORMED, "0 bytes", true},
    {no_instance, REASON_MALFORMED, "instance_id", true},
    {commit_without_version, REASON_MALFORMED, "version_id", false},
};

static void our_own_bad_header_is_never_encoded(void **state)
{
    for (size_t i = 0; i < sizeof(bad_headers) / sizeof(bad_headers[0]); i++) {
        struct envelope_header header = bad_headers[i].beacon ? sample_beacon() : sample_update();
        struct error err = {0};
        struct bytes out;
        bytes_init(&out, HEADER_BYTES_MAX);
        bad_headers[i].edit(&header);
        assert_int_equal(header_encode(&header, &out, &err), STATUS_INVAL);
        assert_non_null(strstr(err.text, bad_headers[i].mentions));
        assert_int_equal(out.size, 0);
    }
    struct envelope_header header = sample_update();
    memset(header.job, 'j', sizeof(header.job));
    struct bytes out;
    bytes_init(&out, HEADER_BYTES_MAX);
    assert_int_equal(header_encode(&header, &out, nullptr), STATUS_INVAL);
}

/* Decodes golden bytes followed by more fields, of which the last one counts. */
static enum status decode_with(const char *name, const void *more, size_t size,
                               const struct envelope_limits *limits,
                               struct envelope_header *ret_header, struct refusal *refusal)
{
    struct bytes golden = golden_read(name);
    assert_int_equal(bytes_append(&golden, more, size), STATUS_OK);
    const enum status status = header_decode(bytes_slice(&golden), limits, ret_header, refusal);
    bytes_deinit(&golden);
    return status;
}

/* Fields written by hand: tag = number << 3 | type. */
static void a_peers_bad_header_is_refused_with_its_reason(void **state)
{
    static const struct {
        const char *more;
        size_t size;
        enum reason reason;
    } cases[] = {
        {"\x08\x02", 2, REASON_VERSION},
        {"\x10\x07", 2, REASON_MALFORMED},
        {"\x28\x02", 2, REASON_UNSUPPORTED},
        {"\x30\x40", 2, REASON_UNSUPPORTED},
        {"\x3a\x00", 2, REASON_MALFORMED}, /* job: "" */
        {"\x3a\x03"
         "a\0b",
         5, REASON_MALFORMED},                                   /* job: a zero inside */
        {"\x1a\x02xx", 4, REASON_MALFORMED},                     /* spiffe_id: xx */
        {"\x22\x01x", 3, REASON_MALFORMED},                      /* key_id of one byte */
        {"\x22\x00", 2, REASON_MALFORMED},                       /* key_id of none */
        {"\xe2\x01\x01x", 4, REASON_MALFORMED},                  /* instance_id of one byte */
        {"\x98\x01\x00", 3, REASON_SAMPLES},                     /* samples: 0 */
        {"\xa1\x01\0\0\0\0\0\0\xf8\x7f", 10, REASON_NON_FINITE}, /* loss: NaN */
        {"\xa1\x01\0\0\0\0\0\0\xf0\x7f", 10, REASON_NON_FINITE}, /* loss: infinity */
        {"\xa9\x01\0\0\0\0\0\0\0\x40", 10, REASON_MALFORMED},    /* accuracy: 2 */
        {"\xe8\x01\x00", 3, REASON_SAMPLES},                     /* updates: 0 */
        {"\x0b", 1, REASON_MALFORMED},                           /* a group */
        {"\x08", 1, REASON_MALFORMED},                           /* cut short */
        {"\x09\0\0\0\0\0\0\0\0", 9, REASON_MALFORMED},           /* version of another type */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct envelope_header header;
        struct refusal refusal = {0};
        assert_int_equal(decode_with("update_header", cases[i].more, cases[i].size, &all_limits,
                                     &header, &refusal),
                         STATUS_PEER);
        assert_string_equal(reason_name(refusal.reason), reason_name(cases[i].reason));
        assert_true(refusal.error.text[0] != 0);
    }
}

static void digests_of_every_field_must_have_their_length(void **state)
{
    static const uint32_t numbers[] = {4, 13, 14, 16, 18, 23, 24, 25, 28};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const uint32_t tag = numbers[i] << 3 | 2;
        uint8_t more[3 + 31] = {(uint8_t)(tag | 0x80), (uint8_t)(tag >> 7), 31};
        struct envelope_header header;
        struct refusal refusal = {0};
        assert_int_equal(
            decode_with("update_header", more, sizeof(more), &all_limits, &header, &refusal),
            STATUS_PEER);
        assert_int_equal(refusal.reason, REASON_MALFORMED);
    }
}

static void unknown_fields_are_ignored_and_the_last_of_two_counts(void **state)
{
    struct envelope_header header;
    /* field 60 of 3 bytes, round 300 again as 301 */
    assert_int_equal(decode_with("update_header", "\xe2\x03\x03xyz\x50\xad\x02", 9, &all_limits,
                                 &header, nullptr),
                     STATUS_OK);
    assert_int_equal(header.round, 301);
    assert_int_equal(header.samples, 60000);
}

static void limits_of_the_receiver_are_kept(void **state)
{
    struct envelope_header header;
    struct refusal refusal = {0};
    struct envelope_limits limits = {7849999999, UINT64_MAX};
    assert_int_equal(decode_with("update_header", "", 0, &limits, &header, &refusal), STATUS_LIMIT);
    assert_int_equal(refusal.reason, REASON_TOO_LARGE);
    limits.payload_bytes_max = 7850000000;
    assert_int_equal(decode_with("update_header", "", 0, &limits, &header, &refusal), STATUS_OK);
    limits.codecs = 0xf7;
    assert_int_equal(decode_with("update_header", "", 0, &limits, &header, &refusal), STATUS_PEER);
    assert_int_equal(refusal.reason, REASON_UNSUPPORTED);
    limits = (struct envelope_limits){31399, 1};
    assert_int_equal(decode_with("beacon_header", "", 0, &limits, &header, &refusal), STATUS_LIMIT);
    limits.payload_bytes_max = 31400;
    assert_int_equal(decode_with("beacon_header", "", 0, &limits, &header, nullptr), STATUS_OK);
    static uint8_t large[HEADER_BYTES_MAX + 1];
    assert_int_equal(
        header_decode((struct slice){large, sizeof(large)}, &all_limits, &header, &refusal),
        STATUS_PEER);
}

static void commits_and_statements_need_less(void **state)
{
    struct envelope_header header = sample_beacon();
    struct bytes out;
    bytes_init(&out, HEADER_BYTES_MAX);
    header.kind = ENVELOPE_COMMIT;
    assert_int_equal(header_encode(&header, &out, nullptr), STATUS_OK);
    header.kind = ENVELOPE_STATEMENT;
    header.job[0] = 0;
    header.epoch = 0;
    assert_int_equal(header_encode(&header, &out, nullptr), STATUS_OK);
    bytes_deinit(&out);
    bytes_init(&out, 10);
    assert_int_equal(header_encode(&header, &out, nullptr), STATUS_LIMIT);
    assert_string_equal(envelope_context(ENVELOPE_UPDATE), "fedra/v1/update");
    assert_string_equal(envelope_context(ENVELOPE_BEACON), "fedra/v1/beacon");
    assert_string_equal(envelope_context(ENVELOPE_COMMIT), "fedra/v1/commit");
    assert_string_equal(envelope_context(ENVELOPE_STATEMENT), "fedra/v1/statement");
}

static void a_sealed_envelope_opens_and_is_signed_as_it_came(void **state)
{
    struct envelope_header header = sample_update();
    struct bytes sealed = seal(&header, NODE_NAME);
    struct envelope envelope;
    struct refusal refusal = {0};
    const struct verifier verifier = keyed_verifier_for(&ring);
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, &refusal),
                     STATUS_OK);
    assert_same_header(&envelope.header, &header);
    assert_true(envelope.header_bytes.data > sealed.data &&
                envelope.header_bytes.data < sealed.data + sealed.size);
    assert_int_equal(envelope_verify(&envelope, &verifier, 1000, &refusal), STATUS_OK);
    assert_int_equal(envelope_verify(&envelope, &verifier, 1001, &refusal), STATUS_IDENTITY);
    assert_int_equal(refusal.reason, REASON_IDENTITY);
    /* The layout by hand: field 1 of the header's size, field 2 of the tag's. */
    const size_t header_size = envelope.header_bytes.size;
    assert_int_equal(sealed.size, 3 + header_size + 2 + DIGEST_BYTES);
    assert_int_equal(sealed.data[0], 0x0a);
    assert_int_equal(sealed.data[1], (header_size & 0x7f) | 0x80);
    assert_int_equal(sealed.data[2], header_size >> 7);
    assert_int_equal(sealed.data[3 + header_size], 0x12);
    assert_int_equal(sealed.data[4 + header_size], DIGEST_BYTES);
    bytes_deinit(&sealed);
}

static void a_name_that_is_not_the_keys_is_refused(void **state)
{
    struct keyed_signer signer_state = {&ring, keyed_id(COORDINATOR_NAME)};
    struct signer signer = keyed_signer_for(&signer_state);
    strcpy(signer.spiffe_id, NODE_NAME);
    struct envelope_header header = sample_update();
    struct bytes out;
    struct envelope envelope;
    struct refusal refusal = {0};
    const struct verifier verifier = keyed_verifier_for(&ring);
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_seal(&header, &signer, &out, nullptr), STATUS_OK);
    assert_int_equal(envelope_parse(bytes_slice(&out), &all_limits, &envelope, nullptr), STATUS_OK);
    assert_int_equal(envelope_verify(&envelope, &verifier, 0, &refusal), STATUS_IDENTITY);
    assert_int_equal(refusal.reason, REASON_IDENTITY);
    assert_int_equal(envelope_verify(&envelope, &verifier, 0, nullptr), STATUS_IDENTITY);
    bytes_deinit(&out);
}

static enum status broken_verify(void *state, const struct digest *key_id, const char *context,
                                 struct slice message, struct slice signature, int64_t now_unix_s,
                                 char ret_spiffe_id[256], struct error *err)
{
    return STATUS_NO_MEMORY;
}

static void a_fault_of_the_verifier_is_not_the_peers(void **state)
{
    static const struct verifier_ops ops = {broken_verify};
    const struct verifier verifier = {&ops, nullptr};
    struct envelope_header header = sample_update();
    struct bytes sealed = seal(&header, NODE_NAME);
    struct envelope envelope;
    struct refusal refusal = {0};
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, nullptr),
                     STATUS_OK);
    assert_int_equal(envelope_verify(&envelope, &verifier, 0, &refusal), STATUS_NO_MEMORY);
    assert_int_equal(refusal.reason, REASON_INTERNAL);
    assert_int_equal(reason_class_of(refusal.reason), REASON_CLASS_AGAIN);
    bytes_deinit(&sealed);
}

static void what_cannot_be_sealed_leaves_nothing(void **state)
{
    struct keyed_ring failing = {.sign_fails = STATUS_IO};
    struct keyed_signer signer_state = {&failing, keyed_id(NODE_NAME)};
    struct signer signer = keyed_signer_for(&signer_state);
    struct envelope_header header = sample_update();
    struct error err = {0};
    struct bytes out;
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    assert_int_equal(envelope_seal(&header, &signer, &out, &err), STATUS_INVAL);
    strcpy(signer.spiffe_id, NODE_NAME);
    assert_int_equal(envelope_seal(&header, &signer, &out, &err), STATUS_IO);
    assert_non_null(strstr(err.text, NODE_NAME));
    failing.sign_fails = STATUS_OK;
    bytes_init(&out, 100);
    assert_int_equal(envelope_seal(&header, &signer, &out, &err), STATUS_LIMIT);
    assert_int_equal(out.size, 0);
    bytes_deinit(&out);
}

static void what_is_no_envelope_is_refused(void **state)
{
    static uint8_t large[ENVELOPE_BYTES_MAX + 1];
    struct envelope_header header = sample_update();
    struct envelope envelope;
    struct refusal refusal = {0};
    struct bytes sealed = seal(&header, NODE_NAME);
    const size_t size = sealed.size;
    sealed.size_max = 65536;
    static const struct {
        const char *more;
        size_t size;
        enum reason reason;
    } cases[] = {
        {"\x1a\x01x", 3, REASON_UNSUPPORTED}, /* sealed */
        {"\x12\x00", 2, REASON_MALFORMED},    /* no signature */
        {"\x0a\x00", 2, REASON_VERSION},      /* no header: version 0 */
        {"\x08\x00", 2, REASON_MALFORMED},    /* header as a number */
        {"\x0a", 1, REASON_MALFORMED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sealed.size = size;
        assert_int_equal(bytes_append(&sealed, cases[i].more, cases[i].size), STATUS_OK);
        assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, &refusal),
                         STATUS_PEER);
        assert_string_equal(reason_name(refusal.reason), reason_name(cases[i].reason));
    }
    sealed.size = size;
    assert_int_equal(bytes_append(&sealed, "\x22\x01x", 3), STATUS_OK); /* unknown field 4 */
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, nullptr),
                     STATUS_OK);
    sealed.size = size;
    uint8_t long_signature[3 + SIGNATURE_BYTES_MAX + 1] = {0x12, 0x81, 0x20};
    assert_int_equal(bytes_append(&sealed, long_signature, sizeof(long_signature)), STATUS_OK);
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, &refusal),
                     STATUS_PEER);
    assert_non_null(strstr(refusal.error.text, "4097"));
    assert_int_equal(
        envelope_parse((struct slice){large, sizeof(large)}, &all_limits, &envelope, nullptr),
        STATUS_PEER);
    bytes_deinit(&sealed);
}

static struct envelope_header expected;

static enum status open_and_verify(struct slice input)
{
    const struct verifier verifier = keyed_verifier_for(&ring);
    struct envelope envelope;
    struct refusal refusal = {0};
    enum status status = envelope_parse(input, &all_limits, &envelope, &refusal);
    if (status == STATUS_OK)
        status = envelope_verify(&envelope, &verifier, 0, &refusal);
    if (status == STATUS_OK) /* whatever was done to it, what is signed is what is read */
        assert_same_header(&envelope.header, &expected);
    else
        assert_true(refusal.reason != REASON_UNSPECIFIED && refusal.error.text[0] != 0);
    return status;
}

/* Goal: no change of a signed byte gets through. Method: every bit of it is flipped. */
static void a_changed_or_cut_envelope_is_never_accepted_as_another(void **state)
{
    expected = sample_update();
    struct bytes sealed = seal(&expected, NODE_NAME);
    torture(open_and_verify, &sealed);
    struct envelope envelope;
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, nullptr),
                     STATUS_OK);
    const size_t first = (size_t)(envelope.header_bytes.data - sealed.data);
    for (size_t i = first; i < first + envelope.header_bytes.size; i++) {
        sealed.data[i] ^= 1;
        assert_false(taken(open_and_verify, sealed.data, sealed.size));
        sealed.data[i] ^= 1;
    }
    for (size_t i = sealed.size - DIGEST_BYTES; i < sealed.size; i++) {
        sealed.data[i] ^= 0x80;
        assert_false(taken(open_and_verify, sealed.data, sealed.size));
        sealed.data[i] ^= 0x80;
    }
    for (size_t size = 0; size < sealed.size; size++)
        assert_false(taken(open_and_verify, sealed.data, size));
    bytes_deinit(&sealed);
}

static void a_signature_of_another_kind_does_not_hold(void **state)
{
    struct envelope_header header = sample_update();
    struct bytes sealed = seal(&header, NODE_NAME);
    struct envelope envelope;
    struct refusal refusal = {0};
    const struct verifier verifier = keyed_verifier_for(&ring);
    assert_int_equal(envelope_parse(bytes_slice(&sealed), &all_limits, &envelope, nullptr),
                     STATUS_OK);
    envelope.header.kind = ENVELOPE_BEACON;
    assert_int_equal(envelope_verify(&envelope, &verifier, 0, &refusal), STATUS_SIGNATURE);
    assert_int_equal(refusal.reason, REASON_SIGNATURE);
    bytes_deinit(&sealed);
}

static void reasons_have_names_texts_and_classes(void **state)
{
    assert_string_equal(reason_name(REASON_ROUND_CLOSED), "round_closed");
    assert_string_equal(reason_name(REASON_NON_FINITE), "non_finite");
    assert_string_equal(reason_text(REASON_NORM), "the norm is over the bound");
    assert_int_equal(reason_class_of(REASON_BUSY), REASON_CLASS_AGAIN);
    assert_int_equal(reason_class_of(REASON_EQUIVOCATION), REASON_CLASS_FINAL);
    assert_int_equal(reason_of_number(30), REASON_INTERNAL);
    assert_int_equal(reason_of_number(31), REASON_UNSPECIFIED);
    assert_string_equal(reason_name((enum reason)4711), "unspecified");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_encode_as_protobuf_does),
        cmocka_unit_test(headers_decode_to_what_the_text_says),
        cmocka_unit_test(our_own_bad_header_is_never_encoded),
        cmocka_unit_test(a_peers_bad_header_is_refused_with_its_reason),
        cmocka_unit_test(digests_of_every_field_must_have_their_length),
        cmocka_unit_test(unknown_fields_are_ignored_and_the_last_of_two_counts),
        cmocka_unit_test(limits_of_the_receiver_are_kept),
        cmocka_unit_test(commits_and_statements_need_less),
        cmocka_unit_test(a_sealed_envelope_opens_and_is_signed_as_it_came),
        cmocka_unit_test(a_name_that_is_not_the_keys_is_refused),
        cmocka_unit_test(a_fault_of_the_verifier_is_not_the_peers),
        cmocka_unit_test(what_cannot_be_sealed_leaves_nothing),
        cmocka_unit_test(what_is_no_envelope_is_refused),
        cmocka_unit_test(a_changed_or_cut_envelope_is_never_accepted_as_another),
        cmocka_unit_test(a_signature_of_another_kind_does_not_hold),
        cmocka_unit_test(reasons_have_names_texts_and_classes),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
