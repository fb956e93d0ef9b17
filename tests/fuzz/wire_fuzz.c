/*
 * wire_fuzz.c - feeds any bytes to every decoder of the wire: the first byte chooses which.
 *
 * What is taken must, written out, be taken again. With clang's -fsanitize=fuzzer it is a fuzzer;
 * with FUZZ_MAIN it runs over the files named as arguments, once for each decoder.
 */
#include "base/check.h"
#include "wire/control.h"
#include "wire/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct envelope_limits limits = {UINT64_MAX, UINT64_MAX};

static void fuzz_header(struct slice input)
{
    struct envelope_header header, again;
    struct bytes out;
    if (header_decode(input, &limits, &header, nullptr) != STATUS_OK)
        return;
    bytes_init(&out, HEADER_BYTES_MAX);
    CHECK(header_encode(&header, &out, nullptr) == STATUS_OK);
    CHECK(header_decode(bytes_slice(&out), &limits, &again, nullptr) == STATUS_OK);
    CHECK(strcmp(header.spiffe_id, again.spiffe_id) == 0 && header.round == again.round);
    bytes_deinit(&out);
}

static void fuzz_envelope(struct slice input)
{
    struct envelope envelope;
    if (envelope_parse(input, &limits, &envelope, nullptr) != STATUS_OK)
        return;
    CHECK(envelope.header_bytes.data >= input.data &&
          envelope.header_bytes.data + envelope.header_bytes.size <= input.data + input.size);
    fuzz_header(envelope.header_bytes);
}

static void fuzz_join(struct slice input)
{
    struct join_request request;
    struct bytes out;
    if (join_request_decode(input, &request, nullptr) != STATUS_OK)
        return;
    bytes_init(&out, JOIN_BYTES_MAX);
    CHECK(join_request_encode(&request, &out) == STATUS_OK);
    bytes_deinit(&out);
}

static void fuzz_directive(struct slice input)
{
    struct directive directive, again;
    struct bytes out;
    if (directive_decode(input, &directive, nullptr) != STATUS_OK)
        return;
    bytes_init(&out, DIRECTIVE_BYTES_MAX);
    CHECK(directive_encode(&directive, &out) == STATUS_OK);
    CHECK(directive_decode(bytes_slice(&out), &again, nullptr) == STATUS_OK);
    CHECK(directive.kind == again.kind);
    bytes_deinit(&out);
}

static void fuzz_parts(struct slice input)
{
    struct chunk chunk;
    struct update_part part;
    if (chunk_decode(input, &chunk, nullptr) == STATUS_OK && chunk.data.size > 0)
        CHECK(chunk.data.data + chunk.data.size <= input.data + input.size);
    if (update_part_decode(input, &part, nullptr) == STATUS_OK && part.kind == UPDATE_PART_ENVELOPE)
        fuzz_envelope(part.envelope);
}

static void fuzz_small(struct slice input)
{
    struct blob_request request;
    struct receipt receipt;
    struct pulse pulse;
    struct bytes out;
    bytes_init(&out, 3 * SMALL_MESSAGE_BYTES_MAX);
    if (blob_request_decode(input, &request, nullptr) == STATUS_OK)
        CHECK(blob_request_encode(&request, &out) == STATUS_OK);
    if (receipt_decode(input, &receipt, nullptr) == STATUS_OK)
        CHECK(receipt_encode(&receipt, &out) == STATUS_OK);
    if (pulse_decode(input, &pulse, nullptr) == STATUS_OK)
        CHECK(pulse_encode(&pulse, &out) == STATUS_OK);
    bytes_deinit(&out);
}

static void fuzz_record(struct slice input)
{
    static struct record record;
    struct signed_record split;
    struct record_iter iter;
    struct record_accepted accepted;
    uint32_t count = 0;
    if (signed_record_decode(input, &split, nullptr) == STATUS_OK)
        input = split.record;
    if (record_decode(input, &record, nullptr) != STATUS_OK)
        return;
    record_iter_init(&iter, &record);
    while (record_iter_next(&iter, &accepted))
        count++;
    CHECK(count == record.head.accepted_count);
}

static void fuzz_control(struct slice input)
{
    static const enum control_request_kind kinds[] = {CONTROL_JOB_ONLY, CONTROL_LIST_MEMBERS,
                                                      CONTROL_GET_MEMBER};
    struct control_request request;
    struct control_status status;
    struct control_member member;
    char token[CONTROL_NAME_MAX] = "";
    struct bytes out;
    bytes_init(&out, 2 * CONTROL_PAGE_BYTES_MAX);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (control_request_decode(kinds[i], input, &request, nullptr) == STATUS_OK)
            CHECK(control_request_encode(kinds[i], &request, &out) == STATUS_OK);
    }
    if (control_status_decode(input, &status, nullptr) == STATUS_OK)
        CHECK(control_status_encode(&status, &out) == STATUS_OK);
    while (control_page_take(&input, &member, token, nullptr) == STATUS_OK)
        CHECK(control_page_append(&member, &out) == STATUS_OK);
    CHECK(control_page_finish(token, &out) == STATUS_OK);
    bytes_deinit(&out);
}

static void (*const fuzzers[])(struct slice input) = {
    fuzz_header, fuzz_envelope, fuzz_join,   fuzz_directive,
    fuzz_parts,  fuzz_small,    fuzz_record, fuzz_control,
};

enum { FUZZER_COUNT = sizeof(fuzzers) / sizeof(fuzzers[0]) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        fuzzers[data[0] % FUZZER_COUNT]((struct slice){data + 1, size - 1});
    return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv)
{
    static uint8_t content[65536];
    for (int i = 1; i < argc; i++) {
        FILE *const file = fopen(argv[i], "rb");
        CHECK(file != nullptr);
        const size_t size = fread(content + 1, 1, sizeof(content) - 1, file);
        fclose(file);
        for (uint8_t which = 0; which < FUZZER_COUNT; which++) {
            content[0] = which;
            LLVMFuzzerTestOneInput(content, size + 1);
        }
    }
    return argc > 1 ? 0 : 1;
}
#endif
