/*
 * record_test.c - commit records: the head against protobuf's own encoder, the accepted set, its
 * order, signatures, and what a damaged record is answered with.
 */
#include "samples.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UPDATE_COUNT = 3, RECORD_BYTES_MAX = 65536 };

static struct keyed_ring ring = {1, {COORDINATOR_NAME}, {1000}, STATUS_OK};

/* Three updates in order: n1 twice, n2. */
struct accepted_set {
    struct bytes headers[UPDATE_COUNT];
    struct record_accepted accepted[UPDATE_COUNT];
};

static void set_make(struct accepted_set *set)
{
    static const uint8_t signature[] = "signature";
    static const char *const names[] = {NODE_NAME, NODE_NAME, "spiffe://fedra.test/fedra/node/n2"};
    static const uint64_t sequences[] = {4, 5, 1};
    for (int i = 0; i < UPDATE_COUNT; i++) {
        struct envelope_header header = sample_update();
        strcpy(header.spiffe_id, names[i]);
        header.sequence = sequences[i];
        bytes_init(&set->headers[i], HEADER_BYTES_MAX);
        assert_int_equal(header_encode(&header, &set->headers[i], nullptr), STATUS_OK);
        set->accepted[i] = (struct record_accepted){
            .header_bytes = bytes_slice(&set->headers[i]),
            .signature = {signature, 9},
            .weight = (uint32_t)i * 1000,
            .order = (uint32_t)(UPDATE_COUNT - i),
            .key_id = header.key_id,
        };
    }
}

static void set_free(struct accepted_set *set)
{
    for (int i = 0; i < UPDATE_COUNT; i++)
        bytes_deinit(&set->headers[i]);
}

static struct bytes record_make(void)
{
    struct accepted_set set;
    struct record_head head = sample_head();
    struct bytes out;
    head.accepted_count = UPDATE_COUNT;
    set_make(&set);
    bytes_init(&out, RECORD_BYTES_MAX);
    assert_int_equal(record_encode(&head, set.accepted, &out, nullptr), STATUS_OK);
    set_free(&set);
    return out;
}

static void the_head_encodes_and_decodes_as_protobuf_does(void **state)
{
    const struct record_head head = sample_head();
    struct record record;
    struct bytes out;
    bytes_init(&out, RECORD_BYTES_MAX);
    assert_int_equal(record_encode(&head, nullptr, &out, nullptr), STATUS_OK);
    assert_golden(&out, "record_head");
    memset(&record, 0, sizeof(record));
    assert_int_equal(record_decode(bytes_slice(&out), &record, nullptr), STATUS_OK);
    struct record_iter iter;
    struct record_accepted accepted;
    record_iter_init(&iter, &record);
    assert_false(record_iter_next(&iter, &accepted));
    out.size = 0; /* what was read, written again */
    assert_int_equal(record_encode(&record.head, nullptr, &out, nullptr), STATUS_OK);
    assert_golden(&out, "record_head");
    bytes_deinit(&out);
}

/* One Accepted laid out by hand: tags, lengths, then weight, key id and order. */
static void the_accepted_set_lies_as_the_proto_says(void **state)
{
    struct accepted_set set;
    struct record_head head = sample_head();
    struct bytes out, expected;
    bytes_init(&out, RECORD_BYTES_MAX);
    set_make(&set);
    assert_int_equal(record_encode(&head, nullptr, &out, nullptr), STATUS_OK);
    const struct record_accepted *const one = &set.accepted[1]; /* weight 1000, order 2 */
    const size_t header_size = one->header_bytes.size;
    const size_t size = 3 + header_size + 2 + 9 + 3 + 2 + DIGEST_BYTES + 2;
    const uint8_t start[] = {0x12, (uint8_t)(size | 0x80),        (uint8_t)(size >> 7),
                             0x0a, (uint8_t)(header_size | 0x80), (uint8_t)(header_size >> 7)};
    bytes_init(&expected, RECORD_BYTES_MAX);
    assert_int_equal(bytes_append(&expected, start, sizeof(start)), STATUS_OK);
    assert_int_equal(bytes_append(&expected, one->header_bytes.data, header_size), STATUS_OK);
    assert_int_equal(bytes_append(&expected, "\x12\x09signature\x18\xe8\x07\x22\x20", 16),
                     STATUS_OK);
    assert_int_equal(bytes_append(&expected, one->key_id.bytes, DIGEST_BYTES), STATUS_OK);
    assert_int_equal(bytes_append(&expected, "\x28\x02", 2), STATUS_OK);
    head.accepted_count = 1;
    out.size = 0;
    assert_int_equal(record_encode(&head, one, &out, nullptr), STATUS_OK);
    assert_true(out.size > expected.size);
    assert_memory_equal(out.data + out.size - expected.size, expected.data, expected.size);
    bytes_deinit(&expected);
    bytes_deinit(&out);
    set_free(&set);
}

static void the_accepted_set_is_walked_where_it_lies(void **state)
{
    struct accepted_set set;
    struct bytes bytes = record_make();
    struct record record;
    struct record_iter iter;
    struct record_accepted accepted;
    set_make(&set);
    assert_int_equal(record_decode(bytes_slice(&bytes), &record, nullptr), STATUS_OK);
    record_iter_init(&iter, &record);
    for (int i = 0; i < UPDATE_COUNT; i++) {
        assert_true(record_iter_next(&iter, &accepted));
        assert_int_equal(accepted.weight, i * 1000);
        assert_int_equal(accepted.order, UPDATE_COUNT - i);
        assert_true(digest_equal(&accepted.key_id, &set.accepted[i].key_id));
        assert_int_equal(accepted.header_bytes.size, set.headers[i].size);
        assert_memory_equal(accepted.header_bytes.data, set.headers[i].data, set.headers[i].size);
        assert_memory_equal(accepted.signature.data, "signature", 9);
        assert_true(accepted.header_bytes.data > bytes.data &&
                    accepted.header_bytes.data < bytes.data + bytes.size);
    }
    assert_false(record_iter_next(&iter, &accepted));
    set_free(&set);
    bytes_deinit(&bytes);
}

/* Whether encoding in another process aborts, with its complaint put away. */
static bool encoding_aborts(const struct record_head *head, const struct record_accepted *accepted)
{
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct bytes out;
        if (freopen("/dev/null", "w", stderr) == nullptr)
            _exit(2);
        signal(SIGABRT, SIG_DFL);
        bytes_init(&out, RECORD_BYTES_MAX);
        const enum status status = record_encode(head, accepted, &out, nullptr);
        _exit(status == STATUS_OK ? 0 : 3);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    return !WIFEXITED(how) || WEXITSTATUS(how) != 0;
}

static void our_own_disorder_aborts(void **state)
{
    struct accepted_set set;
    struct record_head head = sample_head();
    set_make(&set);
    head.accepted_count = 2;
    assert_false(encoding_aborts(&head, set.accepted));
    const struct record_accepted swapped[] = {set.accepted[2], set.accepted[1]};
    assert_true(encoding_aborts(&head, swapped));
    const struct record_accepted backwards[] = {set.accepted[1], set.accepted[0]};
    assert_true(encoding_aborts(&head, backwards));
    const struct record_accepted twice[] = {set.accepted[0], set.accepted[0]};
    assert_true(encoding_aborts(&head, twice));
    head.accepted_count = 0;
    strcpy(head.parameters[0].name, "zeta");
    assert_true(encoding_aborts(&head, nullptr));
    set_free(&set);
}

/*
 * Decodes a record of the given updates in the given order, whose head says count: each update is
 * cut out of a record of its own, where it stands alone.
 */
static enum status decode_forged(uint8_t count, const struct record_accepted *accepted,
                                 size_t given, struct error *err)
{
    struct bytes out, one;
    struct record record;
    struct record_head head = sample_head();
    head.accepted_count = 1;
    bytes_init(&out, RECORD_BYTES_MAX);
    bytes_init(&one, RECORD_BYTES_MAX);
    for (size_t i = 0; i < given; i++) {
        one.size = 0;
        assert_int_equal(record_encode(&head, &accepted[i], &one, nullptr), STATUS_OK);
        const size_t head_size = 3 + (size_t)((one.data[1] & 0x7f) | one.data[2] << 7);
        assert_int_equal(one.data[head_size - 1], 1); /* accepted_count is the last field */
        one.data[head_size - 1] = count;
        const size_t skipped = i == 0 ? 0 : head_size;
        assert_int_equal(bytes_append(&out, one.data + skipped, one.size - skipped), STATUS_OK);
    }
    const enum status status = record_decode(bytes_slice(&out), &record, err);
    bytes_deinit(&out);
    bytes_deinit(&one);
    return status;
}

static void anothers_disorder_is_corrupt(void **state)
{
    struct accepted_set set;
    struct error err = {0};
    set_make(&set);
    assert_int_equal(decode_forged(3, set.accepted, 3, &err), STATUS_OK);
    const struct record_accepted swapped[] = {set.accepted[2], set.accepted[1]};
    assert_int_equal(decode_forged(2, swapped, 2, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "out of order"));
    const struct record_accepted backwards[] = {set.accepted[1], set.accepted[0]};
    assert_int_equal(decode_forged(2, backwards, 2, &err), STATUS_CORRUPT);
    const struct record_accepted twice[] = {set.accepted[0], set.accepted[0]};
    assert_int_equal(decode_forged(2, twice, 2, &err), STATUS_CORRUPT);
    assert_int_equal(decode_forged(2, set.accepted, 3, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "its head says 2"));
    assert_int_equal(decode_forged(4, set.accepted, 3, nullptr), STATUS_CORRUPT);
    set_free(&set);
}

/* Each is what follows three good updates. */
static void a_bad_accepted_update_is_corrupt(void **state)
{
    struct bytes bytes = record_make();
    struct record record;
    struct error err = {0};
    const size_t size = bytes.size;
    static const struct {
        const char *more;
        size_t size;
    } cases[] = {
        {"\x12", 1},                             /* cut */
        {"\x0a\x00", 2},                         /* a second head */
        {"\x10\x01", 2},                         /* accepted as a number */
        {"\x12\x00", 2},                         /* without anything */
        {"\x12\x02\x08\x01", 4},                 /* header as a number */
        {"\x12\x02\x1a\x00", 4},                 /* weight as bytes */
        {"\x12\x06\x18\xff\xff\xff\xff\x10", 8}, /* weight over 32 bits */
        {"\x12\x01\x0b", 3},                     /* a group */
        {"\x12\x03\x22\x01x", 5},                /* key id of one byte */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bytes.size = size;
        assert_int_equal(bytes_append(&bytes, cases[i].more, cases[i].size), STATUS_OK);
        assert_int_equal(record_decode(bytes_slice(&bytes), &record, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.text, "no update"));
    }
    uint8_t empty[2 + 2 + DIGEST_BYTES] = {0x12, 2 + DIGEST_BYTES, 0x22, DIGEST_BYTES};
    bytes.size = size;
    assert_int_equal(bytes_append(&bytes, empty, sizeof(empty)), STATUS_OK);
    assert_int_equal(record_decode(bytes_slice(&bytes), &record, &err), STATUS_CORRUPT);
    assert_non_null(strstr(err.text, "accepted 3"));
    bytes_deinit(&bytes);
}

/* An update that is good by itself but does not belong in this record. */
static void an_update_that_does_not_belong_is_corrupt(void **state)
{
    static const char *const texts[] = {"signature", "not an update", "not an update", "key_id"};
    for (int i = 0; i < 4; i++) {
        struct accepted_set set;
        struct record record;
        struct error err = {0};
        set_make(&set);
        struct bytes out;
        struct record_head head = sample_head();
        bytes_init(&out, RECORD_BYTES_MAX);
        head.accepted_count = 1;
        assert_int_equal(record_encode(&head, set.accepted, &out, nullptr), STATUS_OK);
        uint8_t *const job = memmem(out.data + 400, out.size - 400, "fashion", 7);
        uint8_t *const tail = out.data + out.size - (2 + DIGEST_BYTES + 2 + 2 + 9);
        assert_non_null(job);
        if (i == 0) {
            tail[0] = 15 << 3 | 2; /* the signature becomes field 15, which is not known */
        } else if (i == 1) {
            job[0] = 'F';
        } else if (i == 2) {
            uint8_t *const kind = memmem(out.data + 345, out.size - 345, "\x08\x01\x10\x01", 4);
            assert_non_null(kind);
            kind[3] = ENVELOPE_STATEMENT;
        } else {
            out.data[out.size - 3] ^= 1;
        }
        assert_int_equal(record_decode(bytes_slice(&out), &record, &err), STATUS_CORRUPT);
        assert_non_null(strstr(err.text, texts[i]));
        bytes_deinit(&out);
        set_free(&set);
    }
}

enum { BAD_HEAD_COUNT = 21 };

/* Puts one thing out of range, of BAD_HEAD_COUNT. */
static void break_head(struct record_head *head, int how)
{
    switch (how) {
    case 0:
        head->job[0] = 0;
        break;
    case 1:
        head->rule[0] = '\t';
        break;
    case 2:
        memset(head->validation_choice, 'x', sizeof(head->validation_choice));
        break;
    case 3:
        head->parameter_count = RECORD_PARAMETER_COUNT_MAX + 1;
        break;
    case 4:
        head->parameters[0].name[0] = 0;
        break;
    case 5:
        head->parameters[1].value[0] = 1;
        break;
    case 6:
        head->hash_id = 0;
        break;
    case 7:
        head->epoch = 0;
        break;
    case 8:
        memset(head->instance_id, 0, sizeof(head->instance_id));
        break;
    case 9:
        head->model_digest = (struct digest){0};
        break;
    case 10:
        head->model_blob_digest = (struct digest){0};
        break;
    case 11:
        head->layout_digest = (struct digest){0};
        break;
    case 12:
        head->model_blob_length = 0;
        break;
    case 13:
        head->learning_rate = NAN;
        break;
    case 14:
        head->learning_rate = -1;
        break;
    case 15:
        head->aggregate_norm = INFINITY;
        break;
    case 16:
        head->aggregate_norm = -1;
        break;
    case 17:
        head->validation_accuracy = NAN;
        break;
    case 18:
        head->validation_source = 4;
        break;
    case 19:
        head->outcome = 5;
        break;
    default:
        head->accepted_count = RECORD_ACCEPTED_COUNT_MAX + 1;
        break;
    }
}

static void bad_heads_are_refused(void **state)
{
    for (int i = 0; i < BAD_HEAD_COUNT; i++) {
        struct record_head head = sample_head();
        struct error err = {0};
        struct bytes out;
        bytes_init(&out, RECORD_BYTES_MAX);
        break_head(&head, i);
        assert_int_equal(record_encode(&head, nullptr, &out, &err), STATUS_INVAL);
        assert_true(err.text[0] != 0);
        assert_int_equal(out.size, 0);
        bytes_deinit(&out);
    }
    struct record_head head = sample_head();
    struct bytes out;
    bytes_init(&out, 64);
    assert_int_equal(record_encode(&head, nullptr, &out, nullptr), STATUS_LIMIT);
    bytes_deinit(&out);
}

/* The golden head with more fields at its end, of which the last one counts. */
static void a_damaged_head_is_corrupt_and_a_newer_one_says_so(void **state)
{
    static const struct {
        const char *more;
        size_t size;
        enum status status;
    } cases[] = {
        {"\xf2\x03\x00", 3, STATUS_OK},   /* field 62 is not known: ignored */
        {"\x08\x02", 2, STATUS_VERSION},  /* version 2 */
        {"\x10\x07", 2, STATUS_CORRUPT},  /* hash 7 */
        {"\x3a\x01x", 3, STATUS_CORRUPT}, /* parent_id of one byte */
        {"\x52\x00", 2, STATUS_CORRUPT},  /* no instance_id */
        {"\x5a\x03"
         "a\0b",
         5, STATUS_CORRUPT},                     /* rule with a zero inside */
        {"\xa2\x01\x01\xff", 4, STATUS_CORRUPT}, /* choice that is not UTF-8 */
        {"\x62\x03\x0a\x01"
         "a",
         5, STATUS_CORRUPT}, /* parameter a after tolerance */
        {"\x62\x03\x0a\x01\xff", 5, STATUS_CORRUPT},
        {"\x62\x03\x12\x01\xff", 5, STATUS_CORRUPT},
        {"\x6a\x01x", 3, STATUS_CORRUPT},     /* rule_state_digest */
        {"\xaa\x01\x01x", 4, STATUS_CORRUPT}, /* model_digest */
        {"\xb2\x01\x01x", 4, STATUS_CORRUPT}, /* model_blob_digest */
        {"\xc2\x01\x01x", 4, STATUS_CORRUPT}, /* layout_digest */
        {"\x1a\x01\xff", 3, STATUS_CORRUPT},  /* job */
        {"\x0b", 1, STATUS_CORRUPT},          /* not protobuf */
    };
    struct bytes golden = golden_read("record_head");
    const size_t size = golden.size - 3;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t new_size = size + cases[i].size;
        const uint8_t start[] = {0x0a, (uint8_t)(new_size | 0x80), (uint8_t)(new_size >> 7)};
        struct bytes out;
        struct record record;
        struct error err = {0};
        bytes_init(&out, RECORD_BYTES_MAX);
        assert_int_equal(bytes_append(&out, start, 3), STATUS_OK);
        assert_int_equal(bytes_append(&out, golden.data + 3, size), STATUS_OK);
        assert_int_equal(bytes_append(&out, cases[i].more, cases[i].size), STATUS_OK);
        assert_int_equal(record_decode(bytes_slice(&out), &record, &err), cases[i].status);
        assert_true(cases[i].status == STATUS_OK || err.text[0] != 0);
        bytes_deinit(&out);
    }
    bytes_deinit(&golden);
    struct record record;
    const uint8_t not_head[] = {0x12, 0};
    assert_int_equal(record_decode((struct slice){nullptr, 0}, &record, nullptr), STATUS_CORRUPT);
    assert_int_equal(record_decode((struct slice){not_head, 2}, &record, nullptr), STATUS_CORRUPT);
    const uint8_t number[] = {0x08, 0};
    assert_int_equal(record_decode((struct slice){number, 2}, &record, nullptr), STATUS_CORRUPT);
    const uint8_t group[] = {0x0b};
    assert_int_equal(record_decode((struct slice){group, 1}, &record, nullptr), STATUS_CORRUPT);
}

static void as_many_parameters_as_allowed_fit_and_one_more_does_not(void **state)
{
    struct record_head head = sample_head();
    struct record record;
    struct bytes out;
    bytes_init(&out, RECORD_BYTES_MAX);
    head.parameter_count = RECORD_PARAMETER_COUNT_MAX;
    for (int i = 0; i < RECORD_PARAMETER_COUNT_MAX; i++) {
        memset(head.parameters[i].name, 'a' + i / 26, RECORD_NAME_MAX - 2);
        head.parameters[i].name[RECORD_NAME_MAX - 2] = (char)('a' + i % 26);
        head.parameters[i].name[RECORD_NAME_MAX - 1] = 0;
        memset(head.parameters[i].value, 'v', RECORD_VALUE_MAX - 1);
    }
    assert_int_equal(record_encode(&head, nullptr, &out, nullptr), STATUS_OK);
    assert_int_equal(record_decode(bytes_slice(&out), &record, nullptr), STATUS_OK);
    assert_memory_equal(record.head.parameters, head.parameters, sizeof(head.parameters));
    /* one more parameter ("zz") at the end of the head: the length is three bytes of varint */
    assert_int_equal(bytes_append(&out, "\x62\x04\x0a\x02zz", 6), STATUS_OK);
    const size_t size = out.size - 4;
    out.data[1] = (uint8_t)(size | 0x80);
    out.data[2] = (uint8_t)(size >> 7 | 0x80);
    out.data[3] = (uint8_t)(size >> 14);
    assert_int_equal(record_decode(bytes_slice(&out), &record, nullptr), STATUS_CORRUPT);
    bytes_deinit(&out);
}

static void a_signed_record_is_named_by_its_digest_and_verified(void **state)
{
    struct keyed_signer signer_state = {&ring, keyed_id(COORDINATOR_NAME)};
    const struct signer signer = keyed_signer_for(&signer_state);
    const struct verifier verifier = keyed_verifier_for(&ring);
    struct bytes record = record_make();
    struct bytes out;
    struct digest id, expected;
    struct signed_record split;
    char name[SPIFFE_ID_MAX] = "";
    bytes_init(&out, RECORD_BYTES_MAX);
    assert_int_equal(record_sign(bytes_slice(&record), &signer, &out, &id), STATUS_OK);
    digest_of(record.data, record.size, &expected);
    assert_true(digest_equal(&id, &expected));
    assert_int_equal(signed_record_decode(bytes_slice(&out), &split, nullptr), STATUS_OK);
    assert_true(digest_equal(&split.version_id, &expected));
    assert_int_equal(split.record.size, record.size);
    assert_memory_equal(split.record.data, record.data, record.size);
    assert_int_equal(signed_record_verify(&split, &verifier, 0, name, nullptr), STATUS_OK);
    assert_string_equal(name, COORDINATOR_NAME);
    assert_int_equal(signed_record_verify(&split, &verifier, 1001, name, nullptr), STATUS_IDENTITY);
    out.data[10] ^= 1;
    assert_int_equal(signed_record_decode(bytes_slice(&out), &split, nullptr), STATUS_OK);
    assert_int_equal(signed_record_verify(&split, &verifier, 0, name, nullptr), STATUS_SIGNATURE);
    ring.sign_fails = STATUS_IO;
    assert_int_equal(record_sign(bytes_slice(&record), &signer, &out, &id), STATUS_IO);
    ring.sign_fails = STATUS_OK;
    out.size_max = out.size;
    assert_int_equal(record_sign(bytes_slice(&record), &signer, &out, &id), STATUS_LIMIT);
    bytes_deinit(&out);
    bytes_deinit(&record);
}

static void what_is_no_signed_record_is_corrupt(void **state)
{
    struct signed_record split;
    static const uint8_t key[] = "0123456789abcdef0123456789abcdef";
    static uint8_t message[40 + 4200];
    memcpy(message, "\x0a\x01r\x12\x01s\x1a\x20", 8);
    memcpy(message + 8, key, 32);
    memcpy(message + 40, "\x22\x01x", 3); /* unknown */
    assert_int_equal(signed_record_decode((struct slice){message, 40}, &split, nullptr), STATUS_OK);
    assert_int_equal(signed_record_decode((struct slice){message, 43}, &split, nullptr), STATUS_OK);
    for (size_t size = 0; size < 40; size++)
        assert_int_equal(signed_record_decode((struct slice){message, size}, &split, nullptr),
                         STATUS_CORRUPT);
    memcpy(message + 40, "\x0a\x00", 2);
    assert_int_equal(signed_record_decode((struct slice){message, 42}, &split, nullptr),
                     STATUS_CORRUPT);
    memcpy(message + 40, "\x12\x00", 2);
    assert_int_equal(signed_record_decode((struct slice){message, 42}, &split, nullptr),
                     STATUS_CORRUPT);
    memcpy(message + 40, "\x08\x00", 2);
    assert_int_equal(signed_record_decode((struct slice){message, 42}, &split, nullptr),
                     STATUS_CORRUPT);
    memcpy(message + 40, "\x12\x81\x20", 3);
    assert_int_equal(signed_record_decode((struct slice){message, 43 + 4097}, &split, nullptr),
                     STATUS_CORRUPT);
}

static enum status decode_only(struct slice input)
{
    static struct record record;
    struct record_accepted accepted;
    struct record_iter iter;
    struct error err = {0};
    const enum status status = record_decode(input, &record, &err);
    assert_true(status == STATUS_OK || err.text[0] != 0);
    if (status != STATUS_OK)
        return status;
    record_iter_init(&iter, &record);
    while (record_iter_next(&iter, &accepted))
        assert_true(accepted.header_bytes.size > 0);
    return STATUS_OK;
}

static void a_cut_or_changed_record_does_no_harm(void **state)
{
    struct bytes record = record_make();
    torture(decode_only, &record);
    for (size_t size = 0; size < record.size; size++)
        assert_false(taken(decode_only, record.data, size));
    bytes_deinit(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_encodes_and_decodes_as_protobuf_does),
        cmocka_unit_test(the_accepted_set_lies_as_the_proto_says),
        cmocka_unit_test(the_accepted_set_is_walked_where_it_lies),
        cmocka_unit_test(our_own_disorder_aborts),
        cmocka_unit_test(anothers_disorder_is_corrupt),
        cmocka_unit_test(a_bad_accepted_update_is_corrupt),
        cmocka_unit_test(an_update_that_does_not_belong_is_corrupt),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(a_damaged_head_is_corrupt_and_a_newer_one_says_so),
        cmocka_unit_test(as_many_parameters_as_allowed_fit_and_one_more_does_not),
        cmocka_unit_test(a_signed_record_is_named_by_its_digest_and_verified),
        cmocka_unit_test(what_is_no_signed_record_is_corrupt),
        cmocka_unit_test(a_cut_or_changed_record_does_no_harm),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
