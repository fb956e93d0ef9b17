/*
 * h2_headers.c - the header fields of gRPC: requests, responses, trailers.
 */
#include "rpc/h2_internal.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool slice_is(struct slice slice, const char *text)
{
    return slice.size == strlen(text) && memcmp(slice.data, text, slice.size) == 0;
}

/* "application/grpc", alone or followed by '+' or ';' (the specification's PROTOCOL-HTTP2). */
static bool is_grpc_content_type(struct slice value)
{
    static const char grpc[] = "application/grpc";
    const size_t size = sizeof(grpc) - 1;
    if (value.size < size || memcmp(value.data, grpc, size) != 0)
        return false;
    return value.size == size || value.data[size] == '+' || value.data[size] == ';';
}

static void take_path(struct rpc_call *call, struct slice value)
{
    free(call->path);
    call->path = strndup((const char *)value.data, value.size);
}

static void take_grpc_message(struct rpc_call *call, struct slice value)
{
    char text[GRPC_MESSAGE_MAX];
    grpc_message_decode((const char *)value.data, value.size, text, sizeof(text));
    free(call->message);
    call->message = strdup(text);
}

static void take_request_field(struct rpc_call *call, struct slice name, struct slice value)
{
    if (slice_is(name, ":method"))
        call->is_post = slice_is(value, "POST");
    else if (slice_is(name, ":path"))
        take_path(call, value);
    else if (slice_is(name, "content-type"))
        call->content_type_ok = is_grpc_content_type(value);
    else if (slice_is(name, "grpc-timeout"))
        call->timeout_bad = grpc_timeout_parse((const char *)value.data, value.size,
                                               &call->timeout_ns) != STATUS_OK;
}

static void take_response_field(struct rpc_call *call, struct slice name, struct slice value)
{
    if (slice_is(name, ":status") && value.size == 3) {
        call->http_status = 0;
        for (size_t i = 0; i < 3; i++)
            call->http_status = call->http_status * 10 + (value.data[i] - '0');
    } else if (slice_is(name, "content-type")) {
        call->content_type_ok = is_grpc_content_type(value);
    } else if (slice_is(name, "grpc-status") && call->end == H2_END_NOT) {
        call->code = grpc_status_parse((const char *)value.data, value.size);
        call->has_grpc_status = true;
    } else if (slice_is(name, "grpc-message") && call->end == H2_END_NOT) {
        take_grpc_message(call, value);
    }
}

void h2_headers_take(struct rpc_call *call, struct slice name, struct slice value)
{
    enum { FIELD_OVERHEAD = 32 }; /* RFC 9113, 6.5.2 */
    const size_t size = name.size + value.size + FIELD_OVERHEAD;
    if (size > call->session->limits.header_list_bytes_max - call->header_bytes) {
        call->headers_over = true;
        return;
    }
    call->header_bytes += (uint32_t)size;
    if (call->session->is_server)
        take_request_field(call, name, value);
    else
        take_response_field(call, name, value);
}

/* A growing list of fields; the strings must outlive the submit, which copies them. */
struct fields {
    nghttp2_nv list[H2_NV_MAX];
    size_t count;
};

static void fields_add(struct fields *fields, const char *name, const char *value)
{
    CHECK(fields->count < H2_NV_MAX);
    fields->list[fields->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
    };
}

static enum status status_of_http2(int error)
{
    if (error >= 0)
        return STATUS_OK;
    if (error == NGHTTP2_ERR_NOMEM)
        return STATUS_NO_MEMORY;
    return error == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? STATUS_AGAIN : STATUS_UNREACHABLE;
}

enum status h2_headers_submit_request(struct rpc_call *call, uint64_t timeout_ns)
{
    const struct h2_session *const session = call->session;
    char timeout[GRPC_TIMEOUT_TEXT_MAX];
    struct fields fields = {};
    fields_add(&fields, ":method", "POST");
    fields_add(&fields, ":scheme", session->scheme);
    fields_add(&fields, ":path", call->path);
    fields_add(&fields, ":authority", session->authority);
    fields_add(&fields, "te", "trailers");
    fields_add(&fields, "content-type", "application/grpc");
    fields_add(&fields, "user-agent", "fedra-grpc/1");
    if (timeout_ns > 0) {
        grpc_timeout_format(timeout_ns, timeout);
        fields_add(&fields, "grpc-timeout", timeout);
    }
    for (size_t i = 0; i < session->header_count; i++)
        fields_add(&fields, session->headers[i].name, session->headers[i].value);
    const nghttp2_data_provider2 provider = {.source = {.ptr = call},
                                             .read_callback = h2_call_read};
    const int32_t id = nghttp2_submit_request2(session->http2, nullptr, fields.list, fields.count,
                                               &provider, call);
    if (id < 0)
        return status_of_http2(id);
    call->stream_id = id;
    call->headers_sent = true;
    return STATUS_OK;
}

static void add_response(struct fields *fields)
{
    fields_add(fields, ":status", "200");
    fields_add(fields, "content-type", "application/grpc");
    fields_add(fields, "grpc-accept-encoding", "identity");
}

enum status h2_headers_submit_response(struct rpc_call *call)
{
    struct fields fields = {};
    add_response(&fields);
    const nghttp2_data_provider2 provider = {.source = {.ptr = call},
                                             .read_callback = h2_call_read};
    call->headers_sent = true;
    return status_of_http2(nghttp2_submit_response2(call->session->http2, call->stream_id,
                                                    fields.list, fields.count, &provider));
}

/* The texts of grpc-status and grpc-message, while the fields are submitted. */
struct status_text {
    char code[4];
    char message[GRPC_MESSAGE_ENCODED_MAX];
};

static void add_status(struct fields *fields, const struct rpc_call *call, struct status_text *text)
{
    (void)snprintf(text->code, sizeof(text->code), "%u", (unsigned)call->code % 100);
    fields_add(fields, "grpc-status", text->code);
    if (call->message != nullptr && grpc_message_encode(call->message, text->message) > 0)
        fields_add(fields, "grpc-message", text->message);
}

enum status h2_headers_submit_trailers_only(struct rpc_call *call)
{
    struct fields fields = {};
    struct status_text text;
    add_response(&fields);
    add_status(&fields, call, &text);
    call->headers_sent = true;
    return status_of_http2(nghttp2_submit_response2(call->session->http2, call->stream_id,
                                                    fields.list, fields.count, nullptr));
}

enum status h2_headers_submit_http(struct rpc_call *call, const char *http_status)
{
    struct fields fields = {};
    struct status_text text;
    fields_add(&fields, ":status", http_status);
    fields_add(&fields, "content-type", "application/grpc");
    add_status(&fields, call, &text);
    call->headers_sent = true;
    return status_of_http2(nghttp2_submit_response2(call->session->http2, call->stream_id,
                                                    fields.list, fields.count, nullptr));
}

enum status h2_headers_submit_trailers(struct rpc_call *call)
{
    struct fields fields = {};
    struct status_text text;
    add_status(&fields, call, &text);
    return status_of_http2(
        nghttp2_submit_trailer(call->session->http2, call->stream_id, fields.list, fields.count));
}
