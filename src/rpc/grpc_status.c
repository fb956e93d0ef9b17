/*
 * grpc_status.c - the gRPC status codes and the text formats of grpc-message and grpc-timeout.
 */
#include "rpc/grpc_status.h"

#include "base/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *grpc_status_name(enum grpc_status code)
{
    static const char *const names[] = {
#define X(name) #name,
        GRPC_STATUS_LIST(X)
#undef X
    };
    return (unsigned)code < GRPC_STATUS_COUNT ? names[code] : "UNKNOWN";
}

enum grpc_status grpc_status_parse(const char *text, size_t size)
{
    if (size == 0 || size > 2)
        return GRPC_STATUS_UNKNOWN;
    unsigned value = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return GRPC_STATUS_UNKNOWN;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    return value < GRPC_STATUS_COUNT ? (enum grpc_status)value : GRPC_STATUS_UNKNOWN;
}

enum grpc_status grpc_status_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return GRPC_STATUS_OK;
    case STATUS_AGAIN:
    case STATUS_UNREACHABLE:
        return GRPC_STATUS_UNAVAILABLE;
    case STATUS_TIMEOUT:
        return GRPC_STATUS_DEADLINE_EXCEEDED;
    case STATUS_PEER:
    case STATUS_SIGNATURE:
    case STATUS_DIGEST:
    case STATUS_INVAL:
        return GRPC_STATUS_INVALID_ARGUMENT;
    case STATUS_IDENTITY:
        return GRPC_STATUS_UNAUTHENTICATED;
    case STATUS_PERMISSION:
        return GRPC_STATUS_PERMISSION_DENIED;
    case STATUS_LIMIT:
    case STATUS_NO_MEMORY:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case STATUS_IO:
    case STATUS_NO_SPACE:
        return GRPC_STATUS_INTERNAL;
    case STATUS_CORRUPT:
    case STATUS_VERSION:
        return GRPC_STATUS_DATA_LOSS;
    case STATUS_NOT_FOUND:
        return GRPC_STATUS_NOT_FOUND;
    case STATUS_EXISTS:
        return GRPC_STATUS_ALREADY_EXISTS;
    case STATUS_UNSUPPORTED:
        return GRPC_STATUS_UNIMPLEMENTED;
    case STATUS_CANCELLED:
        return GRPC_STATUS_CANCELLED;
    }
    return GRPC_STATUS_UNKNOWN;
}

enum status grpc_status_to_local(enum grpc_status code)
{
    switch (code) {
    case GRPC_STATUS_OK:
        return STATUS_OK;
    case GRPC_STATUS_CANCELLED:
        return STATUS_CANCELLED;
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_FAILED_PRECONDITION:
    case GRPC_STATUS_OUT_OF_RANGE:
        return STATUS_INVAL;
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return STATUS_TIMEOUT;
    case GRPC_STATUS_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case GRPC_STATUS_ALREADY_EXISTS:
        return STATUS_EXISTS;
    case GRPC_STATUS_PERMISSION_DENIED:
        return STATUS_PERMISSION;
    case GRPC_STATUS_UNAUTHENTICATED:
        return STATUS_IDENTITY;
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return STATUS_LIMIT;
    case GRPC_STATUS_ABORTED:
        return STATUS_AGAIN;
    case GRPC_STATUS_UNAVAILABLE:
        return STATUS_UNREACHABLE;
    case GRPC_STATUS_UNIMPLEMENTED:
        return STATUS_UNSUPPORTED;
    case GRPC_STATUS_DATA_LOSS:
        return STATUS_CORRUPT;
    case GRPC_STATUS_UNKNOWN:
    case GRPC_STATUS_INTERNAL:
    case GRPC_STATUS_COUNT:
        return STATUS_PEER;
    }
    return STATUS_PEER;
}

enum grpc_status grpc_status_of_http(int http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_STATUS_INTERNAL;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_STATUS_UNAVAILABLE;
    default:
        return GRPC_STATUS_UNKNOWN;
    }
}

enum grpc_status grpc_status_of_h2_error(uint32_t error_code)
{
    switch (error_code) {
    case 0x7: /* REFUSED_STREAM */
        return GRPC_STATUS_UNAVAILABLE;
    case 0x8: /* CANCEL */
        return GRPC_STATUS_CANCELLED;
    case 0xb: /* ENHANCE_YOUR_CALM */
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case 0xc: /* INADEQUATE_SECURITY */
        return GRPC_STATUS_PERMISSION_DENIED;
    default:
        return GRPC_STATUS_INTERNAL;
    }
}

size_t grpc_message_encode(const char *message, char ret_text[static GRPC_MESSAGE_ENCODED_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < GRPC_MESSAGE_MAX - 1 && message[i] != '\0'; i++) {
        const unsigned char byte = (unsigned char)message[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            ret_text[size++] = (char)byte;
            continue;
        }
        ret_text[size++] = '%';
        ret_text[size++] = digits[byte >> 4];
        ret_text[size++] = digits[byte & 15];
    }
    ret_text[size] = '\0';
    return size;
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

void grpc_message_decode(const char *text, size_t size, char *ret_message, size_t capacity)
{
    CHECK(capacity > 0);
    size_t written = 0;
    for (size_t i = 0; i < size && written < capacity - 1; i++) {
        char byte = text[i];
        if (byte == '%' && size - i > 2 && hex_value(text[i + 1]) >= 0 &&
            hex_value(text[i + 2]) >= 0) {
            byte = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        }
        ret_message[written++] = byte == '\0' ? '?' : byte;
    }
    ret_message[written] = '\0';
}

static const struct {
    char letter;
    uint64_t unit_ns;
} timeout_units[] = {
    {'n', 1},
    {'u', 1000},
    {'m', 1000 * 1000},
    {'S', 1000ull * 1000 * 1000},
    {'M', 60ull * 1000 * 1000 * 1000},
    {'H', 3600ull * 1000 * 1000 * 1000},
};
enum { TIMEOUT_UNITS = sizeof(timeout_units) / sizeof(timeout_units[0]), TIMEOUT_MAX = 99999999 };

void grpc_timeout_format(uint64_t timeout_ns, char ret_text[static GRPC_TIMEOUT_TEXT_MAX])
{
    size_t unit = 0;
    uint64_t value = timeout_ns;
    while (value > TIMEOUT_MAX && unit + 1 < TIMEOUT_UNITS) {
        unit++;
        const uint64_t unit_ns = timeout_units[unit].unit_ns;
        value = timeout_ns / unit_ns + (timeout_ns % unit_ns != 0);
    }
    const unsigned digits = value > TIMEOUT_MAX ? TIMEOUT_MAX : (unsigned)value;
    char text[16];
    (void)snprintf(text, sizeof(text), "%u%c", digits, timeout_units[unit].letter);
    memcpy(ret_text, text, GRPC_TIMEOUT_TEXT_MAX - 1);
    ret_text[GRPC_TIMEOUT_TEXT_MAX - 1] = '\0';
}

enum status grpc_timeout_parse(const char *text, size_t size, uint64_t *ret_timeout_ns)
{
    if (size < 2 || size > GRPC_TIMEOUT_TEXT_MAX - 1)
        return STATUS_PEER;
    uint64_t value = 0;
    for (size_t i = 0; i < size - 1; i++) {
        if (text[i] < '0' || text[i] > '9')
            return STATUS_PEER;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    for (size_t i = 0; i < TIMEOUT_UNITS; i++) {
        if (timeout_units[i].letter == text[size - 1]) {
            *ret_timeout_ns = value * timeout_units[i].unit_ns;
            if (value > UINT64_MAX / timeout_units[i].unit_ns)
                *ret_timeout_ns = UINT64_MAX;
            return STATUS_OK;
        }
    }
    return STATUS_PEER;
}
