/*
 * wire_memory_test.c - every codec with its i-th allocation failing, for every i.
 *
 * Linked with --wrap for malloc and realloc: the failure must come back as NO_MEMORY, with nothing
 * lost (the leak check of ASan) and nothing written to the output.
 */
#include "samples.h"

#include "wire/control.h"

void *__real_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *block, size_t size);

static int left = -1; /* allocations that still succeed; below 0 all do */

static bool is_failing(void)
{
    if (left < 0)
        return false;
    if (left == 0)
        return true;
    left--;
    return false;
}

void *__wrap_malloc(size_t size)
{
    return is_failing() ? nullptr : __real_malloc(size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return is_failing() ? nullptr : __real_realloc(block, size);
}

/* Fails the i-th allocation of work, until it needs no more; returns how many it needed. */
static int fail_each(enum status (*work)(void))
{
    for (int i = 0; i < 10000; i++) {
        left = i;
        const enum status status = work();
        left = -1;
        if (status == STATUS_OK)
            return i;
        assert_int_equal(status, STATUS_NO_MEMORY);
    }
    fail();
    return 0;
}

static struct bytes input;

static enum status read_header(void)
{
    struct envelope_header header;
    struct refusal refusal = {0};
    const enum status status = header_decode(bytes_slice(&input), &all_limits, &header, &refusal);
    assert_true(status == STATUS_OK || refusal.reason == REASON_INTERNAL);
    return status;
}

static enum status read_join(void)
{
    struct join_request join;
    return join_request_decode(bytes_slice(&input), &join, nullptr);
}

static enum status read_directive(void)
{
    struct directive directive;
    return directive_decode(bytes_slice(&input), &directive, nullptr);
}

static enum status read_request(void)
{
    struct blob_request request;
    return blob_request_decode(bytes_slice(&input), &request, nullptr);
}

static enum status read_receipt(void)
{
    struct receipt receipt;
    return receipt_decode(bytes_slice(&input), &receipt, nullptr);
}

static enum status read_pulse(void)
{
    struct pulse pulse;
    return pulse_decode(bytes_slice(&input), &pulse, nullptr);
}

static enum status read_status(void)
{
    struct control_status status;
    return control_status_decode(bytes_slice(&input), &status, nullptr);
}

static enum status read_member(void)
{
    struct control_member member;
    return control_member_decode(bytes_slice(&input), &member, nullptr);
}

static enum status read_list(void)
{
    struct control_request request;
    return control_request_decode(CONTROL_LIST_MEMBERS, bytes_slice(&input), &request, nullptr);
}

static struct record_accepted accepted;

static enum status write_record(void)
{
    struct record_head head = sample_head();
    struct bytes out;
    head.accepted_count = 1;
    bytes_init(&out, 65536);
    const enum status status = record_encode(&head, &accepted, &out, nullptr);
    assert_true(status == STATUS_OK || out.size == 0);
    bytes_deinit(&out);
    return status;
}

static enum status read_record(void)
{
    struct record record;
    return record_decode(bytes_slice(&input), &record, nullptr);
}

static enum status write_envelope(void)
{
    struct keyed_ring ring = {0};
    struct keyed_signer state = {&ring, keyed_id(NODE_NAME)};
    struct signer signer = keyed_signer_for(&state);
    struct envelope_header header = sample_update();
    struct bytes out;
    strcpy(signer.spiffe_id, NODE_NAME);
    bytes_init(&out, ENVELOPE_BYTES_MAX);
    const enum status status = envelope_seal(&header, &signer, &out, nullptr);
    assert_true(status == STATUS_OK || out.size == 0);
    bytes_deinit(&out);
    return status;
}

static void decoders_answer_no_memory(void **state)
{
    static const struct {
        const char *name;
        enum status (*work)(void);
    } cases[] = {
        {"update_header", read_header},  {"join_request", read_join},
        {"welcome", read_directive},     {"counted", read_directive},
        {"dropped", read_directive},     {"finished", read_directive},
        {"blob_request", read_request},  {"receipt", read_receipt},
        {"pulse", read_pulse},           {"record_head", read_record},
        {"control_status", read_status}, {"control_member", read_member},
        {"control_list", read_list},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        input = golden_read(cases[i].name);
        assert_true(fail_each(cases[i].work) > 0);
        bytes_deinit(&input);
    }
}

static void encoders_answer_no_memory_and_append_nothing(void **state)
{
    struct bytes header = golden_read("update_header");
    accepted = (struct record_accepted){.header_bytes = bytes_slice(&header),
                                        .signature = {(const uint8_t *)"s", 1},
                                        .key_id = counting_digest(0x10)};
    assert_true(fail_each(write_record) > 1);
    assert_true(fail_each(write_envelope) > 1);
    struct record_head head = sample_head();
    head.accepted_count = 1;
    bytes_init(&input, 65536);
    assert_int_equal(record_encode(&head, &accepted, &input, nullptr), STATUS_OK);
    assert_true(fail_each(read_record) > 1);
    bytes_deinit(&input);
    bytes_deinit(&header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders_answer_no_memory),
        cmocka_unit_test(encoders_answer_no_memory_and_append_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
