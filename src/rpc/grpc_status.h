/*
 * grpc_status.h - the status codes of gRPC, their names, and the small text formats around them.
 *
 * Pure functions. How a status travels in trailers is h2_session.h's.
 */
#pragma once

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The codes of the gRPC specification, in their order, from 0. */
#define GRPC_STATUS_LIST(X)                                                                        \
    X(OK)                                                                                          \
    X(CANCELLED)                                                                                   \
    X(UNKNOWN)                                                                                     \
    X(INVALID_ARGUMENT)                                                                            \
    X(DEADLINE_EXCEEDED)                                                                           \
    X(NOT_FOUND)                                                                                   \
    X(ALREADY_EXISTS)                                                                              \
    X(PERMISSION_DENIED)                                                                           \
    X(RESOURCE_EXHAUSTED)                                                                          \
    X(FAILED_PRECONDITION)                                                                         \
    X(ABORTED)                                                                                     \
    X(OUT_OF_RANGE)                                                                                \
    X(UNIMPLEMENTED)                                                                               \
    X(INTERNAL)                                                                                    \
    X(UNAVAILABLE)                                                                                 \
    X(DATA_LOSS)                                                                                   \
    X(UNAUTHENTICATED)

enum grpc_status {
#define X(name) GRPC_STATUS_##name,
    GRPC_STATUS_LIST(X)
#undef X
        GRPC_STATUS_COUNT,
};

enum {
    GRPC_MESSAGE_MAX = 1024,                         /* bytes of a status message, with its zero */
    GRPC_MESSAGE_ENCODED_MAX = 3 * GRPC_MESSAGE_MAX, /* the same, percent-encoded */
    GRPC_TIMEOUT_TEXT_MAX = 10,                      /* 8 digits, a unit and a zero */
};

/* The name as the specification writes it ("NOT_FOUND"), static; "UNKNOWN" outside the list. */
const char *grpc_status_name(enum grpc_status code);

/* Reads the decimal value of a grpc-status field. What is no code of the list becomes UNKNOWN. */
enum grpc_status grpc_status_parse(const char *text, size_t size);

/* What a status of our own is on the wire: LIMIT and NO_MEMORY are RESOURCE_EXHAUSTED, and so on.
 */
enum grpc_status grpc_status_of(enum status status);

/* How to react to a gRPC status with ours: UNAVAILABLE is UNREACHABLE, and so on. */
enum status grpc_status_to_local(enum grpc_status code);

/* The code for an HTTP response that has no grpc-status (the specification's table). */
enum grpc_status grpc_status_of_http(int http_status);

/* The code for a stream that ended by RST_STREAM with this HTTP/2 error code. */
enum grpc_status grpc_status_of_h2_error(uint32_t error_code);

/*
 * Percent-encodes a status message: bytes outside 0x20..0x7e and '%' become %XX. Cut at
 * GRPC_MESSAGE_MAX - 1 bytes of input. Gives the size written, without the zero.
 */
size_t grpc_message_encode(const char *message, char ret_text[static GRPC_MESSAGE_ENCODED_MAX]);

/*
 * Undoes grpc_message_encode; what is no valid escape stays as it is (the specification asks that
 * nothing be refused). Zero bytes become '?'. Cut at capacity - 1 bytes. capacity > 0.
 */
void grpc_message_decode(const char *text, size_t size, char *ret_message, size_t capacity);

/* Writes a grpc-timeout: at most 8 digits and a unit, rounded up. timeout_ns > 0. */
void grpc_timeout_format(uint64_t timeout_ns, char ret_text[static GRPC_TIMEOUT_TEXT_MAX]);

/* Reads a grpc-timeout: 1 to 8 digits and H, M, S, m, u or n. PEER otherwise. */
[[nodiscard]] enum status grpc_timeout_parse(const char *text, size_t size,
                                             uint64_t *ret_timeout_ns);
