/*
 * protobuf.c - bounded unpacking over protobuf-c, a reader of single fields, strings and digests.
 */
#include "wire/protobuf.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* What protobuf-c needs beside the content: structs, its table of scanned fields. */
    BUDGET_BYTES = 16384,
    FIELD_NUMBER_MAX = (1 << 29) - 1,
};

/* What is left to allocate in one unpacking, and why it stopped. */
struct budget {
    size_t left;
    bool spent;
    bool no_memory;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *const budget = data;
    if (size > budget->left) {
        budget->spent = true;
        return nullptr;
    }
    void *const block = malloc(size);
    if (block == nullptr)
        budget->no_memory = true;
    else
        budget->left -= size;
    return block;
}

static void budget_free(void *data, void *block)
{
    free(block);
}

enum status protobuf_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice input,
                            size_t size_max, ProtobufCMessage **ret_message, struct error *err)
{
    if (input.size > size_max)
        return error_set(err, STATUS_PEER, "%s of %zu bytes: at most %zu are taken",
                         descriptor->short_name, input.size, size_max);
    static const uint8_t nothing = 0;
    struct budget budget = {.left = 2 * input.size + BUDGET_BYTES};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    ProtobufCMessage *const message = protobuf_c_message_unpack(
        descriptor, &allocator, input.size, input.size > 0 ? input.data : &nothing);
    if (budget.no_memory || budget.spent) {
        protobuf_free(message);
        return budget.no_memory
                   ? error_set(err, STATUS_NO_MEMORY, "no memory to read a %s",
                               descriptor->short_name)
                   : error_set(err, STATUS_LIMIT, "%s of %zu bytes needs more memory than it may",
                               descriptor->short_name, input.size);
    }
    if (message == nullptr)
        return error_set(err, STATUS_PEER, "%zu bytes that are not a %s", input.size,
                         descriptor->short_name);
    *ret_message = message;
    return STATUS_OK;
}

void protobuf_free(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {budget_alloc, budget_free, nullptr};
    if (message != nullptr)
        protobuf_c_message_free_unpacked(message, &allocator);
}

enum status protobuf_pack(const ProtobufCMessage *message, struct bytes *out)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    const enum status status = bytes_reserve(out, size);
    if (status != STATUS_OK || size == 0)
        return status;
    const size_t written = protobuf_c_message_pack(message, out->data + out->size);
    CHECK(written == size);
    out->size += size;
    return STATUS_OK;
}

enum status protobuf_pack_field(uint32_t number, const ProtobufCMessage *message, struct bytes *out)
{
    uint8_t prefix[2 * VARINT_BYTES_MAX];
    size_t size = varint_encode((uint64_t)number << 3 | FIELD_BYTES, prefix);
    size += varint_encode(protobuf_c_message_get_packed_size(message), prefix + size);
    const size_t before = out->size;
    enum status status = bytes_append(out, prefix, size);
    if (status == STATUS_OK)
        status = protobuf_pack(message, out);
    if (status != STATUS_OK)
        out->size = before;
    return status;
}

size_t varint_encode(uint64_t value, uint8_t *ret)
{
    size_t size = 0;
    while (value >= 0x80) {
        ret[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    ret[size++] = (uint8_t)value;
    return size;
}

/* Takes a varint off rest; false where it is cut short or over 64 bits. */
static bool varint_take(struct slice *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < rest->size && i < VARINT_BYTES_MAX; i++) {
        const uint8_t byte = rest->data[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *ret_value = value;
            rest->data += i + 1;
            rest->size -= i + 1;
            return true;
        }
    }
    return false;
}

enum status field_take(struct slice *rest, struct field *ret_field)
{
    struct slice left = *rest;
    uint64_t tag = 0;
    if (!varint_take(&left, &tag) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX)
        return STATUS_PEER;
    struct field field = {.number = (uint32_t)(tag >> 3), .type = (enum field_type)(tag & 7)};
    uint64_t size = 0;
    switch (tag & 7) {
    case FIELD_VARINT:
        if (!varint_take(&left, &field.value))
            return STATUS_PEER;
        break;
    case FIELD_FIXED64:
        size = 8;
        break;
    case FIELD_BYTES:
        if (!varint_take(&left, &size))
            return STATUS_PEER;
        break;
    case FIELD_FIXED32:
        size = 4;
        break;
    default:
        return STATUS_PEER;
    }
    if (size > left.size)
        return STATUS_PEER;
    field.data = (struct slice){left.data, (size_t)size};
    *rest = (struct slice){left.data + size, left.size - (size_t)size};
    *ret_field = field;
    return STATUS_OK;
}

ProtobufCBinaryData protobuf_bytes(const void *data, size_t size)
{
    /* protobuf-c has no const pointers; packing only reads. */
    return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)data};
}

ProtobufCBinaryData protobuf_digest(const struct digest *digest)
{
    return protobuf_bytes(digest->bytes, digest_is_zero(digest) ? 0 : DIGEST_BYTES);
}

/*
 * The size in bytes of the character that text begins with, and its code point; 0 where it is not
 * UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). size is at least 1.
 */
static size_t character_size(const uint8_t *text, size_t size, uint32_t *ret_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = 1;
    uint32_t point = text[0];
    if (point >= 0x80) {
        length = point >= 0xf0 ? 4 : point >= 0xe0 ? 3 : 2;
        if (point < 0xc0 || point >= 0xf8 || length > size)
            return 0;
        point &= 0xffU >> (length + 1);
        for (size_t i = 1; i < length; i++) {
            if ((text[i] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (text[i] & 0x3f);
        }
        if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return 0;
    }
    *ret_point = point;
    return length;
}

/* How many bytes from the start are UTF-8 without a zero; without control characters if so asked.
 */
static size_t text_good_size(const uint8_t *text, size_t size, bool printable)
{
    size_t good = 0;
    while (good < size) {
        uint32_t point = 0;
        const size_t length = character_size(text + good, size - good, &point);
        const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
        if (length == 0 || point == 0 || (printable && control))
            break;
        good += length;
    }
    return good;
}

ProtobufCBinaryData protobuf_text(const char *text, size_t capacity)
{
    const size_t size = strnlen(text, capacity - 1);
    return protobuf_bytes(text, text_good_size((const uint8_t *)text, size, false));
}

bool digest_take(ProtobufCBinaryData data, struct digest *ret_digest)
{
    if (data.len != 0 && data.len != DIGEST_BYTES)
        return false;
    *ret_digest = (struct digest){0};
    if (data.len > 0)
        memcpy(ret_digest->bytes, data.data, DIGEST_BYTES);
    return true;
}

bool text_take(ProtobufCBinaryData data, char *ret, size_t capacity)
{
    if (data.len >= capacity || text_good_size(data.data, data.len, false) != data.len)
        return false;
    if (data.len > 0)
        memcpy(ret, data.data, data.len);
    ret[data.len] = 0;
    return true;
}

bool text_is_printable(const char *text, size_t size_min, size_t capacity)
{
    const size_t size = strnlen(text, capacity);
    return size >= size_min && size < capacity &&
           text_good_size((const uint8_t *)text, size, true) == size;
}

bool text_is_spiffe_id(const char *text, size_t capacity)
{
    static const char scheme[] = "spiffe://";
    if (!text_is_printable(text, sizeof(scheme), capacity) ||
        strncmp(text, scheme, sizeof(scheme) - 1) != 0)
        return false;
    for (const char *at = text; *at != 0; at++) {
        if (*at <= ' ' || *at > '~')
            return false;
    }
    return true;
}
