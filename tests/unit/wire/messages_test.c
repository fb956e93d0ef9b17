/*
 * messages_test.c - the federation's messages: bytes against protobuf's own encoder, what is out of
 * range, and bytes that were cut or changed.
 */
#include "samples.h"

static struct update_ref sample_ref(void)
{
    return (struct update_ref){.epoch = 7, .round = 300, .payload_digest = counting_digest(0x40)};
}

static struct slice text_slice(const char *text)
{
    return (struct slice){(const uint8_t *)text, strlen(text)};
}

static struct join_request sample_join(void)
{
    struct join_request join = {.spiffe_id = NODE_NAME,
                                .job = "fashion",
                                .epoch_seen = 6,
                                .chain = {2, {text_slice("leaf"), text_slice("issuer")}},
                                .resume_token = text_slice("token"),
                                .has_held = true,
                                .held_state = HELD_ACCEPTED,
                                .held = sample_ref()};
    join.held.fork = 2;
    join.held.attempt = 1;
    return join;
}

static struct directive sample_directive(enum directive_kind kind)
{
    struct directive directive = {.kind = kind};
    switch (kind) {
    case DIRECTIVE_WELCOME:
        directive.welcome =
            (struct welcome){.chain = {2, {text_slice("leaf"), text_slice("issuer")}},
                             .epoch = 7,
                             .resume_token = text_slice("token"),
                             .message_bytes_max = 2097152,
                             .chunk_bytes = BLOB_CHUNK_BYTES,
                             .job = "fashion"};
        counting_instance(directive.welcome.instance_id);
        break;
    case DIRECTIVE_BEACON:
        directive.beacon = text_slice("envelope");
        break;
    case DIRECTIVE_COUNTED:
        directive.counted = (struct counted){sample_ref(), 301, counting_digest(0x60)};
        break;
    case DIRECTIVE_DROPPED:
        directive.dropped = (struct dropped){sample_ref(), REASON_NORM, "over the bound"};
        break;
    case DIRECTIVE_OFFER:
        directive.offer = sample_ref();
        break;
    case DIRECTIVE_DRAIN:
        strcpy(directive.drain_text, "restart");
        break;
    case DIRECTIVE_FINISHED:
        directive.finished =
            (struct finished){WIRE_OUTCOME_EXHAUSTED, 100, counting_digest(0x60), "max_rounds"};
        break;
    }
    return directive;
}

static void assert_slice(struct slice slice, const char *text, struct slice within)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
    assert_true(slice.data >= within.data && slice.data < within.data + within.size);
}

static void assert_ref(const struct update_ref *a, const struct update_ref *b)
{
    assert_memory_equal(a, b, sizeof(*a));
}

static void join_requests_are_as_protobuf_writes_them(void **state)
{
    const struct join_request join = sample_join();
    struct join_request back;
    struct bytes out;
    bytes_init(&out, JOIN_BYTES_MAX);
    assert_int_equal(join_request_encode(&join, &out), STATUS_OK);
    assert_golden(&out, "join_request");
    assert_int_equal(join_request_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
    assert_string_equal(back.spiffe_id, join.spiffe_id);
    assert_string_equal(back.job, "fashion");
    assert_int_equal(back.epoch_seen, 6);
    assert_int_equal(back.chain.count, 2);
    assert_slice(back.chain.certificates[0], "leaf", bytes_slice(&out));
    assert_slice(back.chain.certificates[1], "issuer", bytes_slice(&out));
    assert_slice(back.resume_token, "token", bytes_slice(&out));
    assert_true(back.has_held);
    assert_int_equal(back.held_state, HELD_ACCEPTED);
    assert_ref(&back.held, &join.held);
    bytes_deinit(&out);
}

static void directives_are_as_protobuf_writes_them(void **state)
{
    static const char *const names[] = {nullptr,   "welcome", nullptr,    "counted",
                                        "dropped", "drain",   "finished", "offer"};
    for (int kind = DIRECTIVE_WELCOME; kind <= DIRECTIVE_OFFER; kind++) {
        const struct directive directive = sample_directive((enum directive_kind)kind);
        struct directive back;
        struct bytes out;
        bytes_init(&out, DIRECTIVE_BYTES_MAX);
        assert_int_equal(directive_encode(&directive, &out), STATUS_OK);
        if (names[kind] != nullptr)
            assert_golden(&out, names[kind]);
        else
            assert_memory_equal(out.data,
                                "\x12\x08"
                                "envelope",
                                10);
        assert_int_equal(directive_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
        assert_int_equal(back.kind, kind);
        switch (directive.kind) {
        case DIRECTIVE_WELCOME:
            assert_int_equal(back.welcome.epoch, 7);
            assert_int_equal(back.welcome.message_bytes_max, 2097152);
            assert_int_equal(back.welcome.chunk_bytes, BLOB_CHUNK_BYTES);
            assert_string_equal(back.welcome.job, "fashion");
            assert_memory_equal(back.welcome.instance_id, directive.welcome.instance_id, 16);
            assert_slice(back.welcome.chain.certificates[1], "issuer", bytes_slice(&out));
            assert_slice(back.welcome.resume_token, "token", bytes_slice(&out));
            break;
        case DIRECTIVE_BEACON:
            assert_slice(back.beacon, "envelope", bytes_slice(&out));
            break;
        case DIRECTIVE_COUNTED:
            assert_memory_equal(&back.counted, &directive.counted, sizeof(back.counted));
            break;
        case DIRECTIVE_DROPPED:
            assert_ref(&back.dropped.update, &directive.dropped.update);
            assert_int_equal(back.dropped.reason, REASON_NORM);
            assert_string_equal(back.dropped.text, "over the bound");
            break;
        case DIRECTIVE_OFFER:
            assert_ref(&back.offer, &directive.offer);
            break;
        case DIRECTIVE_DRAIN:
            assert_string_equal(back.drain_text, "restart");
            break;
        case DIRECTIVE_FINISHED:
            assert_int_equal(back.finished.outcome, WIRE_OUTCOME_EXHAUSTED);
            assert_int_equal(back.finished.version_number, 100);
            assert_string_equal(back.finished.text, "max_rounds");
            break;
        }
        bytes_deinit(&out);
    }
}

static void small_messages_are_as_protobuf_writes_them(void **state)
{
    const struct blob_request request = {counting_digest(0x80), 1048576};
    const struct receipt receipt = {false, REASON_ROUND_CLOSED, "too late"};
    const struct pulse pulse = {3, 123456789, PULSE_TRAINING};
    struct blob_request request_back;
    struct receipt receipt_back;
    struct pulse pulse_back;
    struct bytes out;
    bytes_init(&out, 4096);
    assert_int_equal(blob_request_encode(&request, &out), STATUS_OK);
    assert_golden(&out, "blob_request");
    assert_int_equal(blob_request_decode(bytes_slice(&out), &request_back, nullptr), STATUS_OK);
    assert_memory_equal(&request_back, &request, sizeof(request));
    out.size = 0;
    assert_int_equal(receipt_encode(&receipt, &out), STATUS_OK);
    assert_golden(&out, "receipt");
    assert_int_equal(receipt_decode(bytes_slice(&out), &receipt_back, nullptr), STATUS_OK);
    assert_false(receipt_back.accepted);
    assert_int_equal(receipt_back.reason, REASON_ROUND_CLOSED);
    assert_string_equal(receipt_back.text, "too late");
    out.size = 0;
    assert_int_equal(pulse_encode(&pulse, &out), STATUS_OK);
    assert_golden(&out, "pulse");
    assert_int_equal(pulse_decode(bytes_slice(&out), &pulse_back, nullptr), STATUS_OK);
    assert_int_equal(pulse_back.sequence, 3);
    assert_int_equal(pulse_back.sent_ms, 123456789);
    assert_int_equal(pulse_back.state, PULSE_TRAINING);
    bytes_deinit(&out);
}

static void an_accepted_receipt_carries_no_reason(void **state)
{
    const struct receipt receipt = {true, REASON_NORM, ""};
    struct receipt back;
    struct bytes out;
    bytes_init(&out, 4096);
    assert_int_equal(receipt_encode(&receipt, &out), STATUS_OK);
    assert_int_equal(out.size, 2);
    assert_memory_equal(out.data, "\x08\x01", 2);
    assert_int_equal(receipt_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
    assert_true(back.accepted);
    assert_int_equal(back.reason, REASON_UNSPECIFIED);
    bytes_deinit(&out);
}

/* The prefix and the data, put together, are the whole message. */
static void chunks_are_a_prefix_before_the_data(void **state)
{
    uint8_t prefix[CHUNK_PREFIX_BYTES_MAX];
    struct chunk chunk;
    struct update_part part;
    struct bytes out;
    bytes_init(&out, UPDATE_PART_BYTES_MAX);
    size_t size = chunk_prefix_encode(1048576, 6, prefix);
    assert_int_equal(bytes_append(&out, prefix, size), STATUS_OK);
    assert_int_equal(bytes_append(&out, "abcdef", 6), STATUS_OK);
    assert_golden(&out, "chunk");
    assert_int_equal(chunk_decode(bytes_slice(&out), &chunk, nullptr), STATUS_OK);
    assert_int_equal(chunk.offset, 1048576);
    assert_slice(chunk.data, "abcdef", bytes_slice(&out));
    out.size = 0;
    size = update_part_prefix_encode(300, 6, prefix);
    assert_int_equal(bytes_append(&out, prefix, size), STATUS_OK);
    assert_int_equal(bytes_append(&out, "abcdef", 6), STATUS_OK);
    assert_golden(&out, "update_part_chunk");
    assert_int_equal(update_part_decode(bytes_slice(&out), &part, nullptr), STATUS_OK);
    assert_int_equal(part.kind, UPDATE_PART_CHUNK);
    assert_int_equal(part.chunk.offset, 300);
    assert_slice(part.chunk.data, "abcdef", bytes_slice(&out));
    bytes_deinit(&out);
}

static void the_largest_chunk_fits_and_one_byte_more_does_not(void **state)
{
    static uint8_t message[UPDATE_PART_BYTES_MAX + 1];
    uint8_t prefix[CHUNK_PREFIX_BYTES_MAX];
    struct update_part part;
    struct chunk chunk;
    const uint64_t offset = UINT64_C(1) << 62;
    size_t size = update_part_prefix_encode(offset, BLOB_CHUNK_BYTES, prefix);
    memcpy(message, prefix, size);
    assert_int_equal(
        update_part_decode((struct slice){message, size + BLOB_CHUNK_BYTES}, &part, nullptr),
        STATUS_OK);
    assert_int_equal(part.chunk.data.size, BLOB_CHUNK_BYTES);
    assert_int_equal(part.chunk.offset, offset);
    assert_ptr_equal(part.chunk.data.data, message + size);
    /* by hand: field 2 of 2^20 + 1 bytes */
    memcpy(message, "\x12\x81\x80\x40", 4);
    assert_int_equal(
        chunk_decode((struct slice){message, 4 + BLOB_CHUNK_BYTES + 1}, &chunk, nullptr),
        STATUS_PEER);
    assert_int_equal(chunk_decode((struct slice){message, sizeof(message)}, &chunk, nullptr),
                     STATUS_PEER);
    assert_int_equal(update_part_decode((struct slice){message, sizeof(message)}, &part, nullptr),
                     STATUS_PEER);
    size = chunk_prefix_encode(0, 0, prefix);
    assert_int_equal(size, 2);
    assert_int_equal(chunk_decode((struct slice){prefix, size}, &chunk, nullptr), STATUS_OK);
    assert_int_equal(chunk.data.size, 0);
}

struct bytes_case {
    const char *data;
    size_t size;
};

#define CASE(text) {text, sizeof(text) - 1}

static void chunks_and_parts_that_are_none_are_refused(void **state)
{
    static const struct bytes_case chunks[] = {
        CASE("\x0a\x00"),
        CASE("\x10\x00"),
        CASE("\x12\x05"),
        CASE("\x0b"),
        CASE("\x08\x81\x80\x80\x80\x80\x80\x80\x80\x40"), /* offset 2^62 + 1 */
    };
    static const struct bytes_case parts[] = {
        CASE(""),
        CASE("\x08\x00"),
        CASE("\x0a\x00"),
        CASE("\x1a\x00"),
        CASE("\x12\x02\x10"),
        CASE("\x12\x02\x10\x00"),
        CASE("\x12\x00\x12\x00"), /* two */
        CASE("\x0a\x01x\x12\x00"),
    };
    struct error err;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        const struct slice input = {(const uint8_t *)chunks[i].data, chunks[i].size};
        struct chunk chunk;
        err.text[0] = 0;
        assert_int_equal(chunk_decode(input, &chunk, &err), STATUS_PEER);
        assert_true(err.text[0] != 0);
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const struct slice input = {(const uint8_t *)parts[i].data, parts[i].size};
        struct update_part part;
        err.text[0] = 0;
        assert_int_equal(update_part_decode(input, &part, &err), STATUS_PEER);
        assert_true(err.text[0] != 0);
    }
    struct chunk chunk; /* fields 3, 4 and 5 of all types are not known */
    const char more[] = "\x18\x01\x21"
                        "12345678"
                        "\x2d"
                        "1234"
                        "\x08\x05";
    assert_int_equal(
        chunk_decode((struct slice){(const uint8_t *)more, sizeof(more) - 1}, &chunk, nullptr),
        STATUS_OK);
    assert_int_equal(chunk.offset, 5);
}

static void envelopes_travel_in_the_first_part(void **state)
{
    static uint8_t large[ENVELOPE_BYTES_MAX + 1];
    struct bytes out;
    struct update_part part;
    bytes_init(&out, 2 * ENVELOPE_BYTES_MAX);
    assert_int_equal(update_part_encode_envelope(text_slice("envelope"), &out), STATUS_OK);
    assert_memory_equal(out.data,
                        "\x0a\x08"
                        "envelope",
                        10);
    assert_int_equal(update_part_decode(bytes_slice(&out), &part, nullptr), STATUS_OK);
    assert_int_equal(part.kind, UPDATE_PART_ENVELOPE);
    assert_slice(part.envelope, "envelope", bytes_slice(&out));
    assert_int_equal(update_part_encode_envelope((struct slice){0}, &out), STATUS_INVAL);
    assert_int_equal(update_part_encode_envelope((struct slice){large, sizeof(large)}, &out),
                     STATUS_INVAL);
    out.size = 0;
    assert_int_equal(bytes_append(&out, "\x0a\x81\x42", 3), STATUS_OK); /* 8449 bytes */
    assert_int_equal(bytes_append(&out, large, sizeof(large)), STATUS_OK);
    assert_int_equal(update_part_decode(bytes_slice(&out), &part, nullptr), STATUS_PEER);
    out.size_max = out.size;
    assert_int_equal(update_part_encode_envelope(text_slice("envelope"), &out), STATUS_LIMIT);
    bytes_deinit(&out);
}

static void join_requests_out_of_range_are_not_encoded(void **state)
{
    static uint8_t large[CERTIFICATE_BYTES_MAX + 1];
    for (int i = 0; i < 10; i++) {
        struct join_request join = sample_join();
        struct bytes out;
        bytes_init(&out, JOIN_BYTES_MAX);
        switch (i) {
        case 0:
            join.spiffe_id[0] = 0;
            break;
        case 1:
            join.job[0] = 0;
            break;
        case 2:
            join.chain.count = CHAIN_COUNT_MAX + 1;
            break;
        case 3:
            join.chain.certificates[0].size = 0;
            break;
        case 4:
            join.chain.certificates[0] = (struct slice){large, sizeof(large)};
            break;
        case 5:
            join.resume_token = (struct slice){large, RESUME_TOKEN_BYTES_MAX + 1};
            break;
        case 6:
            join.held_state = 0;
            break;
        case 7:
            join.held_state = 3;
            break;
        case 8:
            join.held.epoch = 0;
            break;
        default:
            join.held.payload_digest = (struct digest){0};
            break;
        }
        assert_int_equal(join_request_encode(&join, &out), STATUS_INVAL);
        assert_int_equal(out.size, 0);
        bytes_deinit(&out);
    }
}

static void join_requests_out_of_range_are_refused(void **state)
{
    static const struct bytes_case cases[] = {
        CASE("\x08\x02"),     /* version 2 */
        CASE("\x12\x01x"),    /* spiffe_id: x */
        CASE("\x12\x01\xff"), /* spiffe_id that is not UTF-8 */
        CASE("\x1a\x00"),     /* no job */
        CASE("\x1a\x01\xff"),
        CASE("\x2a\x00"), /* an empty certificate */
        CASE("\x2a\x01"
             "3\x2a\x01"
             "4\x2a\x01"
             "5\x2a\x01"
             "6\x2a\x01"
             "7\x2a\x01"
             "8\x2a\x01"
             "9"),
        CASE("\x3a\x02\x10\x03"),          /* held: state 3 */
        CASE("\x3a\x05\x0a\x03\x2a\x01x"), /* held: digest of one byte */
        CASE("\x3a\x04\x0a\x02\x10\x00"),  /* held: epoch 0 */
        CASE("\x0b"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bytes golden = golden_read("join_request");
        struct join_request join;
        struct error err = {0};
        assert_int_equal(bytes_append(&golden, cases[i].data, cases[i].size), STATUS_OK);
        assert_int_equal(join_request_decode(bytes_slice(&golden), &join, &err), STATUS_PEER);
        assert_true(err.text[0] != 0);
        bytes_deinit(&golden);
    }
}

static void a_join_without_held_update_or_chain_is_right(void **state)
{
    struct join_request join = sample_join();
    struct join_request back;
    struct bytes out;
    join.has_held = false;
    join.chain.count = 0;
    join.resume_token.size = 0;
    bytes_init(&out, JOIN_BYTES_MAX);
    assert_int_equal(join_request_encode(&join, &out), STATUS_OK);
    assert_int_equal(join_request_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
    assert_false(back.has_held);
    assert_int_equal(back.chain.count, 0);
    assert_int_equal(back.resume_token.size, 0);
    /* a held update that names none: field 7, state UNSENT only */
    assert_int_equal(bytes_append(&out, "\x3a\x02\x10\x01", 4), STATUS_OK);
    assert_int_equal(join_request_decode(bytes_slice(&out), &back, nullptr), STATUS_PEER);
    bytes_deinit(&out);
}

/* The largest chain that is allowed gets through the budget of memory. */
static void the_largest_join_is_read(void **state)
{
    static uint8_t certificate[CERTIFICATE_BYTES_MAX];
    struct join_request join = sample_join();
    struct join_request back;
    struct bytes out;
    join.chain.count = CHAIN_COUNT_MAX;
    for (int i = 0; i < CHAIN_COUNT_MAX; i++)
        join.chain.certificates[i] = (struct slice){certificate, sizeof(certificate)};
    join.resume_token = (struct slice){certificate, RESUME_TOKEN_BYTES_MAX};
    bytes_init(&out, JOIN_BYTES_MAX);
    assert_int_equal(join_request_encode(&join, &out), STATUS_OK);
    assert_int_equal(join_request_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
    assert_int_equal(back.chain.count, CHAIN_COUNT_MAX);
    bytes_deinit(&out);
}

/* Goal: no message makes us allocate a large multiple of itself. Method: empty repeated fields. */
static void a_bomb_of_repeated_fields_is_over_the_limit(void **state)
{
    static uint8_t bomb[JOIN_BYTES_MAX + 1];
    struct join_request join;
    struct error err = {0};
    for (size_t i = 0; i + 1 < sizeof(bomb); i += 2)
        bomb[i] = 0x2a;
    assert_int_equal(join_request_decode((struct slice){bomb, sizeof(bomb) - 1}, &join, &err),
                     STATUS_LIMIT);
    assert_non_null(strstr(err.text, "memory"));
    assert_int_equal(join_request_decode((struct slice){bomb, sizeof(bomb)}, &join, &err),
                     STATUS_PEER);
}

static void break_directive(struct directive *directive, int how)
{
    struct welcome *const welcome = &directive->welcome;
    switch (how) {
    case 0:
        welcome->chain.count = 9;
        break;
    case 1:
        memset(welcome->instance_id, 0, 16);
        break;
    case 2:
        welcome->epoch = 0;
        break;
    case 3:
        welcome->resume_token.size = RESUME_TOKEN_BYTES_MAX + 1;
        break;
    case 4:
        welcome->message_bytes_max = 0;
        break;
    case 5:
        welcome->chunk_bytes = 0;
        break;
    case 6:
        welcome->chunk_bytes = BLOB_CHUNK_BYTES + 1;
        break;
    case 7:
        welcome->job[0] = 0;
        break;
    case 8:
        directive->beacon.size = 0;
        break;
    case 9:
        directive->beacon.size = ENVELOPE_BYTES_MAX + 1;
        break;
    case 10:
        directive->counted.update.epoch = 0;
        break;
    case 11:
        directive->counted.version_id = (struct digest){0};
        break;
    case 12:
        directive->dropped.update.epoch = 0;
        break;
    case 13:
        directive->finished.outcome = WIRE_OUTCOME_NONE;
        break;
    case 14:
        directive->finished.outcome = 5;
        break;
    case 15:
        directive->finished.version_id = (struct digest){0};
        break;
    default:
        directive->kind = 7;
        break;
    }
}

static void directives_out_of_range_are_not_encoded(void **state)
{
    static const int kinds[] = {1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 6, 6, 5};
    for (int i = 0; i < 17; i++) {
        struct directive directive = sample_directive((enum directive_kind)kinds[i]);
        struct bytes out;
        bytes_init(&out, DIRECTIVE_BYTES_MAX);
        break_directive(&directive, i);
        assert_int_equal(directive_encode(&directive, &out), STATUS_INVAL);
        assert_int_equal(out.size, 0);
        bytes_deinit(&out);
    }
    for (int kind = 1; kind <= 6; kind++) {
        const struct directive directive = sample_directive((enum directive_kind)kind);
        for (size_t room = 0; room < 9; room++) {
            struct bytes out;
            bytes_init(&out, room);
            assert_int_equal(directive_encode(&directive, &out), STATUS_LIMIT);
            assert_int_equal(out.size, 0);
            bytes_deinit(&out);
        }
    }
}

/* more is put at the end of what is inside the golden directive, whose size is below 128. */
static enum status decode_directive_with(const char *name, struct bytes_case more)
{
    struct bytes golden = golden_read(name);
    struct directive directive;
    struct error err = {0};
    assert_int_equal(golden.data[1], golden.size - 2);
    golden.data[1] = (uint8_t)(golden.data[1] + more.size);
    assert_true(golden.data[1] < 128);
    assert_int_equal(bytes_append(&golden, more.data, more.size), STATUS_OK);
    const enum status status = directive_decode(bytes_slice(&golden), &directive, &err);
    assert_true(status == STATUS_OK || err.text[0] != 0);
    bytes_deinit(&golden);
    return status;
}

static void directives_out_of_range_are_refused(void **state)
{
    static const struct {
        const char *name;
        struct bytes_case more;
    } cases[] = {
        {"welcome", CASE("\x12\x01x")},         /* instance_id of one byte */
        {"welcome", CASE("\x18\x00")},          /* epoch 0 */
        {"welcome", CASE("\x28\x00")},          /* message_bytes_max 0 */
        {"welcome", CASE("\x3a\x01\xff")},      /* job that is not UTF-8 */
        {"welcome", CASE("\x0a\x00")},          /* an empty certificate */
        {"counted", CASE("\x0a\x02\x10\x00")},  /* epoch 0 */
        {"counted", CASE("\x1a\x01x")},         /* version_id of one byte */
        {"counted", CASE("\x1a\x00")},          /* version_id of none */
        {"dropped", CASE("\x0a\x03\x2a\x01x")}, /* digest of one byte */
        {"dropped", CASE("\x1a\x01\xff")},      /* text that is not UTF-8 */
        {"drain", CASE("\x0a\x01\x80")},        {"drain", CASE("\x0b")},
        {"finished", CASE("\x08\x00")}, /* goes on */
        {"finished", CASE("\x08\x05")},         {"finished", CASE("\x1a\x01x")},
        {"finished", CASE("\x22\x02\xc0\x80")}, /* an overlong zero */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(decode_directive_with(cases[i].name, cases[i].more), STATUS_PEER);
    /* A reason that is newer than we are is no mistake. */
    assert_int_equal(decode_directive_with("dropped", (struct bytes_case)CASE("\x10\x63")),
                     STATUS_OK);
    static const struct bytes_case wholes[] = {
        CASE(""),         CASE("\x12\x00"), CASE("\x08\x00"),
        CASE("\x7a\x00"), CASE("\x0b"),     CASE("\x2a\x00\x2a\x00"), /* two of them */
        CASE("\x1a\x00"),                                             /* Counted without anything */
    };
    for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
        struct directive directive;
        const struct slice input = {(const uint8_t *)wholes[i].data, wholes[i].size};
        assert_int_equal(directive_decode(input, &directive, nullptr), STATUS_PEER);
    }
    static uint8_t large[DIRECTIVE_BYTES_MAX + 1] = {0x12, 0x81, 0x42};
    struct directive directive;
    assert_int_equal(directive_decode((struct slice){large, sizeof(large)}, &directive, nullptr),
                     STATUS_PEER);
    assert_int_equal(
        directive_decode((struct slice){large, 3 + ENVELOPE_BYTES_MAX + 1}, &directive, nullptr),
        STATUS_PEER);
}

static void small_messages_out_of_range_are_refused(void **state)
{
    static const struct bytes_case requests[] = {
        CASE(""),
        CASE("\x0a\x01x"),
        CASE("\x0b"),
        CASE("\x0a\x20"
             "0123456789abcdef0123456789abcdef\x10\x81\x80\x80\x80\x80\x80\x80\x80\x40"),
    };
    static const struct bytes_case receipts[] = {CASE(""), CASE("\x08\x03"), CASE("\x0b"),
                                                 CASE("\x08\x01\x1a\x01\xff")};
    static const struct bytes_case pulses[] = {CASE(""), CASE("\x08\x01"), CASE("\x08\x01\x18\x06"),
                                               CASE("\x18\x01"), CASE("\x0b")};
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct blob_request request;
        const struct slice input = {(const uint8_t *)requests[i].data, requests[i].size};
        assert_int_equal(blob_request_decode(input, &request, nullptr), STATUS_PEER);
    }
    for (size_t i = 0; i < sizeof(receipts) / sizeof(receipts[0]); i++) {
        struct receipt receipt;
        const struct slice input = {(const uint8_t *)receipts[i].data, receipts[i].size};
        assert_int_equal(receipt_decode(input, &receipt, nullptr), STATUS_PEER);
    }
    for (size_t i = 0; i < sizeof(pulses) / sizeof(pulses[0]); i++) {
        struct pulse pulse;
        const struct slice input = {(const uint8_t *)pulses[i].data, pulses[i].size};
        assert_int_equal(pulse_decode(input, &pulse, nullptr), STATUS_PEER);
    }
    struct bytes out;
    bytes_init(&out, 4096);
    assert_int_equal(blob_request_encode(&(struct blob_request){0}, &out), STATUS_INVAL);
    const struct blob_request far = {counting_digest(1), UINT64_MAX};
    assert_int_equal(blob_request_encode(&far, &out), STATUS_INVAL);
    assert_int_equal(pulse_encode(&(struct pulse){0, 0, PULSE_IDLE}, &out), STATUS_INVAL);
    assert_int_equal(pulse_encode(&(struct pulse){1, 0, 6}, &out), STATUS_INVAL);
    assert_int_equal(pulse_encode(&(struct pulse){1, 0, 0}, &out), STATUS_INVAL);
    assert_int_equal(out.size, 0);
}

/* A text that was cut in the middle of a character still goes out, without the half. */
static void a_half_character_at_the_end_is_left_out(void **state)
{
    const struct receipt receipt = {false, REASON_INTERNAL, "z\xc3\xbc\xe2\x82"};
    struct receipt back;
    struct bytes out;
    bytes_init(&out, 4096);
    assert_int_equal(receipt_encode(&receipt, &out), STATUS_OK);
    assert_int_equal(receipt_decode(bytes_slice(&out), &back, nullptr), STATUS_OK);
    assert_string_equal(back.text, "z\xc3\xbc");
    bytes_deinit(&out);
}

static enum status take_join(struct slice input)
{
    struct join_request join;
    return join_request_decode(input, &join, nullptr);
}

static enum status take_directive(struct slice input)
{
    struct directive directive;
    return directive_decode(input, &directive, nullptr);
}

static enum status take_request(struct slice input)
{
    struct blob_request request;
    return blob_request_decode(input, &request, nullptr);
}

static enum status take_chunk(struct slice input)
{
    struct chunk chunk;
    return chunk_decode(input, &chunk, nullptr);
}

static enum status take_part(struct slice input)
{
    struct update_part part;
    return update_part_decode(input, &part, nullptr);
}

static enum status take_receipt(struct slice input)
{
    struct receipt receipt;
    return receipt_decode(input, &receipt, nullptr);
}

static enum status take_pulse(struct slice input)
{
    struct pulse pulse;
    return pulse_decode(input, &pulse, nullptr);
}

static void cut_and_changed_messages_do_no_harm(void **state)
{
    static const struct {
        const char *name;
        enum status (*decode)(struct slice input);
    } messages[] = {
        {"join_request", take_join},
        {"welcome", take_directive},
        {"counted", take_directive},
        {"dropped", take_directive},
        {"drain", take_directive},
        {"finished", take_directive},
        {"blob_request", take_request},
        {"chunk", take_chunk},
        {"update_part_chunk", take_part},
        {"receipt", take_receipt},
        {"pulse", take_pulse},
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        struct bytes golden = golden_read(messages[i].name);
        torture(messages[i].decode, &golden);
        bytes_deinit(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_requests_are_as_protobuf_writes_them),
        cmocka_unit_test(directives_are_as_protobuf_writes_them),
        cmocka_unit_test(small_messages_are_as_protobuf_writes_them),
        cmocka_unit_test(an_accepted_receipt_carries_no_reason),
        cmocka_unit_test(chunks_are_a_prefix_before_the_data),
        cmocka_unit_test(the_largest_chunk_fits_and_one_byte_more_does_not),
        cmocka_unit_test(chunks_and_parts_that_are_none_are_refused),
        cmocka_unit_test(envelopes_travel_in_the_first_part),
        cmocka_unit_test(join_requests_out_of_range_are_not_encoded),
        cmocka_unit_test(join_requests_out_of_range_are_refused),
        cmocka_unit_test(a_join_without_held_update_or_chain_is_right),
        cmocka_unit_test(the_largest_join_is_read),
        cmocka_unit_test(a_bomb_of_repeated_fields_is_over_the_limit),
        cmocka_unit_test(directives_out_of_range_are_not_encoded),
        cmocka_unit_test(directives_out_of_range_are_refused),
        cmocka_unit_test(small_messages_out_of_range_are_refused),
        cmocka_unit_test(a_half_character_at_the_end_is_left_out),
        cmocka_unit_test(cut_and_changed_messages_do_no_harm),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
