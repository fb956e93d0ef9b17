/*
 * config_value.c - configuration values from text and to text, each checked against its row.
 *
 * Numbers are stricter than YAML's: decimal only, no octal, no NaN, no infinity.
 */
#include "host/config_schema.h"

#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 64 }; /* of a value quoted in a message */

static const char *const text_wanted[] = {
    [CONFIG_TEXT_PATH] = "a path of at most 1023 bytes",
    [CONFIG_TEXT_COMMAND] = "a command for /bin/sh of at most 1023 bytes",
    [CONFIG_TEXT_NAME] = "a name of 1 to 63 of a-z, 0-9 and -",
    [CONFIG_TEXT_DOMAIN] = "a name of 1 to 255 of a-z, 0-9, . and -",
    [CONFIG_TEXT_LISTEN] = "host:port with a port from 0 to 65535",
    [CONFIG_TEXT_CONNECT] = "host:port with a port from 1 to 65535",
    [CONFIG_TEXT_COLUMN] = "a column's name or index of at most 63 bytes",
    [CONFIG_TEXT_WORDS] = "words of a-z, 0-9, _, ., =, + and -, separated by commas",
};

static void names_list(const struct config_key *key, char *ret, size_t capacity)
{
    size_t used = 0;
    ret[0] = 0;
    for (uint32_t i = 0; key->names[i] && used < capacity; i++)
        used += (size_t)snprintf(ret + used, capacity - used, "%s%s", i ? ", " : "", key->names[i]);
}

void config_value_wanted(const struct config_key *key, char ret_text[static CONFIG_WRONG_MAX])
{
    char list[CONFIG_WRONG_MAX / 2];
    const unsigned long long min = key->min;
    const unsigned long long max = key->max;
    switch (key->type) {
    case CONFIG_TYPE_U64:
        snprintf(ret_text, CONFIG_WRONG_MAX, "a whole number from %llu to %llu", min, max);
        return;
    case CONFIG_TYPE_COUNT:
        snprintf(ret_text, CONFIG_WRONG_MAX, "none, all or a whole number from %llu to %llu", min,
                 max);
        return;
    case CONFIG_TYPE_F64:
        snprintf(ret_text, CONFIG_WRONG_MAX, "a number %s %.10g %s %.10g",
                 key->min_open ? "over" : "from", key->f64_min, key->min_open ? "up to" : "to",
                 key->f64_max);
        return;
    case CONFIG_TYPE_BOOL:
        snprintf(ret_text, CONFIG_WRONG_MAX, "true or false");
        return;
    case CONFIG_TYPE_ENUM:
        names_list(key, list, sizeof list);
        snprintf(ret_text, CONFIG_WRONG_MAX, "%s%s", key->names[1] ? "one of " : "", list);
        return;
    case CONFIG_TYPE_TEXT:
        snprintf(ret_text, CONFIG_WRONG_MAX, "%s", text_wanted[key->text_kind]);
        return;
    case CONFIG_TYPE_LIST:
        snprintf(ret_text, CONFIG_WRONG_MAX,
                 "a list of at most %d whole numbers from %llu to %llu, as [128, 64]",
                 CONFIG_LIST_MAX, min, max);
        return;
    }
}

/* Writes "VALUE what, WANTED is wanted" and gives INVAL back. */
static enum status wrong(const struct config_key *key, const char *text, size_t size,
                         const char *what, char ret_wrong[static CONFIG_WRONG_MAX])
{
    char shown[SHOWN_MAX];
    char wanted[CONFIG_WRONG_MAX];
    text_escape(text, size, shown, sizeof shown);
    config_value_wanted(key, wanted);
    snprintf(ret_wrong, CONFIG_WRONG_MAX, "%s%s%s, %.200s is wanted", shown, size ? " " : "", what,
             wanted);
    return STATUS_INVAL;
}

/* Decimal digits without a leading zero; false also where it passes 2^64 - 1 (then ret_over). */
static bool read_u64(const char *text, size_t size, uint64_t *ret_value, bool *ret_over)
{
    uint64_t value = 0;
    *ret_over = false;
    if (size == 0 || (size > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            *ret_over = true;
    }
    *ret_value = value;
    return true;
}

static enum status whole_read(const struct config_key *key, const char *text, size_t size,
                              bool quoted, uint64_t *ret_value,
                              char ret_wrong[static CONFIG_WRONG_MAX])
{
    uint64_t value = 0;
    bool over;
    if (quoted)
        return wrong(key, text, size, "is a text in quotes", ret_wrong);
    if (!read_u64(text, size, &value, &over))
        return wrong(key, text, size, "is not a whole decimal number", ret_wrong);
    if (over || value < key->min || value > key->max)
        return wrong(key, text, size, "is out of range", ret_wrong);
    *ret_value = value;
    return STATUS_OK;
}

static size_t digits(const char *text, size_t size, size_t at)
{
    size_t count = 0;
    while (at + count < size && text[at + count] >= '0' && text[at + count] <= '9')
        count++;
    return count;
}

/* [-+] digits [. digits] [e [-+] digits], with a digit before or after the dot. */
static bool is_decimal(const char *text, size_t size)
{
    size_t at = size > 0 && (text[0] == '-' || text[0] == '+');
    const size_t whole = digits(text, size, at);
    size_t fraction = 0;
    at += whole;
    if (at < size && text[at] == '.') {
        fraction = digits(text, size, at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        at += at < size && (text[at] == '-' || text[at] == '+');
        const size_t exponent = digits(text, size, at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return at == size;
}

static enum status number_read(const struct config_key *key, const char *text, size_t size,
                               bool quoted, double *ret_value,
                               char ret_wrong[static CONFIG_WRONG_MAX])
{
    char copy[SHOWN_MAX];
    if (quoted)
        return wrong(key, text, size, "is a text in quotes", ret_wrong);
    if (!is_decimal(text, size) || size >= sizeof copy)
        return wrong(key, text, size, "is not a decimal number", ret_wrong);
    memcpy(copy, text, size);
    copy[size] = 0;
    const double value = strtod(copy, nullptr);
    if (!isfinite(value) || value < key->f64_min || value > key->f64_max ||
        (key->min_open && value <= key->f64_min))
        return wrong(key, text, size, "is out of range", ret_wrong);
    *ret_value = value == 0 ? 0 : value; /* no negative zero */
    return STATUS_OK;
}

static bool made_of(const char *text, size_t size, const char *allowed)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == 0 || !strchr(allowed, text[i]))
            return false;
    }
    return true;
}

/* host:port, the host a name, an IPv4 address or an IPv6 address in brackets. */
static bool is_address(const char *text, size_t size, uint64_t port_min)
{
    size_t colon = size;
    while (colon > 0 && text[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return false;
    const size_t host = colon - 1;
    uint64_t port = 0;
    bool over;
    if (!read_u64(text + colon, size - colon, &port, &over) || over || port < port_min ||
        port > 65535)
        return false;
    if (text[0] == '[')
        return host > 3 && text[host - 1] == ']' &&
               made_of(text + 1, host - 2, "0123456789abcdefABCDEF:.");
    return host <= 253 &&
           made_of(text, host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
}

/* Whether the text has the form its kind asks for. */
static bool has_form(const struct config_key *key, const char *text, size_t size)
{
    switch (key->text_kind) {
    case CONFIG_TEXT_PATH:
    case CONFIG_TEXT_COMMAND:
    case CONFIG_TEXT_COLUMN:
        return true;
    case CONFIG_TEXT_NAME:
        return made_of(text, size, "abcdefghijklmnopqrstuvwxyz0123456789-");
    case CONFIG_TEXT_DOMAIN:
        return text[0] != '.' && text[size - 1] != '.' &&
               made_of(text, size, "abcdefghijklmnopqrstuvwxyz0123456789.-");
    case CONFIG_TEXT_WORDS:
        return made_of(text, size, "abcdefghijklmnopqrstuvwxyz0123456789_.=+-, ");
    case CONFIG_TEXT_LISTEN:
        return is_address(text, size, 0);
    case CONFIG_TEXT_CONNECT:
        return is_address(text, size, 1);
    }
    return false;
}

/*
 * Whether the text has a control character (C0, delete, C1), or one that YAML takes for a line
 * break or forbids (U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF). text is well-formed UTF-8.
 */
static bool has_control(const char *text, size_t size)
{
    const unsigned char *const in = (const unsigned char *)text;
    for (size_t i = 0; i < size; i++) {
        const unsigned next = i + 1 < size ? in[i + 1] : 0;
        const unsigned third = i + 2 < size ? in[i + 2] : 0;
        if (in[i] < ' ' || in[i] == 127 || (in[i] == 0xc2 && next < 0xa0) ||
            (in[i] == 0xe2 && next == 0x80 && (third == 0xa8 || third == 0xa9)) ||
            (in[i] == 0xef && ((next == 0xbb && third == 0xbf) || (next == 0xbf && third >= 0xbe))))
            return true;
    }
    return false;
}

static enum status text_read(const struct config_key *key, const char *text, size_t size,
                             char *ret_text, char ret_wrong[static CONFIG_WRONG_MAX])
{
    size_t bad = 0;
    if (size == 0 && !key->optional)
        return wrong(key, text, size, "is empty", ret_wrong);
    if (!config_utf8_valid(text, size, &bad))
        return wrong(key, text, size, "is not UTF-8", ret_wrong);
    if (has_control(text, size))
        return wrong(key, text, size, "has a control character", ret_wrong);
    if (size >= key->size)
        return wrong(key, text, size, "is too long", ret_wrong);
    if (size > 0 && !has_form(key, text, size))
        return wrong(key, text, size, "is not usable", ret_wrong);
    memset(ret_text, 0, key->size);
    memcpy(ret_text, text, size);
    return STATUS_OK;
}

static bool equals(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static enum status enum_read(const struct config_key *key, const char *text, size_t size,
                             uint32_t *ret_value, char ret_wrong[static CONFIG_WRONG_MAX])
{
    for (uint32_t i = 0; key->names[i]; i++) {
        if (equals(text, size, key->names[i])) {
            *ret_value = i;
            return STATUS_OK;
        }
    }
    return wrong(key, text, size, "is unknown", ret_wrong);
}

static enum status bool_read(const struct config_key *key, const char *text, size_t size,
                             bool quoted, bool *ret_value, char ret_wrong[static CONFIG_WRONG_MAX])
{
    if (quoted)
        return wrong(key, text, size, "is a text in quotes", ret_wrong);
    if (!equals(text, size, "true") && !equals(text, size, "false"))
        return wrong(key, text, size, "is neither", ret_wrong);
    *ret_value = text[0] == 't';
    return STATUS_OK;
}

enum status config_item_read(const struct config_key *key, const char *text, size_t size,
                             bool quoted, struct config_list *list,
                             char ret_wrong[static CONFIG_WRONG_MAX])
{
    uint64_t value = 0;
    const enum status status = whole_read(key, text, size, quoted, &value, ret_wrong);
    if (status != STATUS_OK)
        return status;
    if (list->count == CONFIG_LIST_MAX)
        return wrong(key, text, size, "is one too many", ret_wrong);
    list->items[list->count++] = (uint32_t)value;
    return STATUS_OK;
}

/* "[128, 64]", "128,64", "[]" or "", as --set gives it. */
static enum status list_read(const struct config_key *key, const char *text, size_t size,
                             struct config_list *ret_list, char ret_wrong[static CONFIG_WRONG_MAX])
{
    struct config_list list = {0};
    const bool bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    const char *item = text + bracketed;
    const char *const end = text + size - bracketed;
    while (item < end) {
        while (item < end && *item == ' ')
            item++;
        const char *comma = memchr(item, ',', (size_t)(end - item));
        const char *stop = comma ? comma : end;
        const char *const next = comma ? comma + 1 : end;
        while (stop > item && stop[-1] == ' ')
            stop--;
        const enum status status =
            config_item_read(key, item, (size_t)(stop - item), false, &list, ret_wrong);
        if (status != STATUS_OK)
            return status;
        item = next;
    }
    *ret_list = list;
    return STATUS_OK;
}

static enum status count_read(const struct config_key *key, const char *text, size_t size,
                              bool quoted, uint64_t *ret_value,
                              char ret_wrong[static CONFIG_WRONG_MAX])
{
    const bool none = equals(text, size, "none");
    if (quoted || (!none && !equals(text, size, "all")))
        return whole_read(key, text, size, quoted, ret_value, ret_wrong);
    *ret_value = none ? 0 : UINT64_MAX;
    return STATUS_OK;
}

enum status config_value_read(const struct config_key *key, const char *text, size_t size,
                              bool quoted, struct config *config,
                              char ret_wrong[static CONFIG_WRONG_MAX])
{
    void *const member = config_member(key, config);
    switch (key->type) {
    case CONFIG_TYPE_U64:
        return whole_read(key, text, size, quoted, member, ret_wrong);
    case CONFIG_TYPE_COUNT:
        return count_read(key, text, size, quoted, member, ret_wrong);
    case CONFIG_TYPE_F64:
        return number_read(key, text, size, quoted, member, ret_wrong);
    case CONFIG_TYPE_BOOL:
        return bool_read(key, text, size, quoted, member, ret_wrong);
    case CONFIG_TYPE_ENUM:
        return enum_read(key, text, size, member, ret_wrong);
    case CONFIG_TYPE_TEXT:
        return text_read(key, text, size, member, ret_wrong);
    case CONFIG_TYPE_LIST:
        return list_read(key, text, size, member, ret_wrong);
    }
    return STATUS_INVAL;
}

/* As few digits as read back to the same bits. */
static void number_write(double value, char *ret_text, size_t capacity)
{
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(ret_text, capacity, "%.*g", precision, value);
        if (strtod(ret_text, nullptr) == value)
            return;
    }
}

/* In double quotes, where only these two need an escape (there are no control characters). */
static void text_write(const char *text, char *ret_text)
{
    size_t used = 0;
    ret_text[used++] = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            ret_text[used++] = '\\';
        ret_text[used++] = *text;
    }
    ret_text[used++] = '"';
    ret_text[used] = 0;
}

static void count_write(uint64_t count, char *ret_text, size_t capacity)
{
    if (count == 0 || count == UINT64_MAX)
        snprintf(ret_text, capacity, "%s", count == 0 ? "none" : "all");
    else
        snprintf(ret_text, capacity, "%llu", (unsigned long long)count);
}

void config_value_write(const struct config_key *key, const struct config *config,
                        char ret_text[static CONFIG_VALUE_MAX])
{
    const void *const member = config_member_const(key, config);
    const struct config_list *const list = member;
    size_t used = 0;
    switch (key->type) {
    case CONFIG_TYPE_U64:
        snprintf(ret_text, CONFIG_VALUE_MAX, "%llu", (unsigned long long)*(const uint64_t *)member);
        return;
    case CONFIG_TYPE_COUNT:
        count_write(*(const uint64_t *)member, ret_text, CONFIG_VALUE_MAX);
        return;
    case CONFIG_TYPE_F64:
        number_write(*(const double *)member, ret_text, CONFIG_VALUE_MAX);
        return;
    case CONFIG_TYPE_BOOL:
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", *(const bool *)member ? "true" : "false");
        return;
    case CONFIG_TYPE_ENUM:
        snprintf(ret_text, CONFIG_VALUE_MAX, "%s", key->names[*(const uint32_t *)member]);
        return;
    case CONFIG_TYPE_TEXT:
        text_write(member, ret_text);
        return;
    case CONFIG_TYPE_LIST:
        used = (size_t)snprintf(ret_text, CONFIG_VALUE_MAX, "[");
        for (uint32_t i = 0; i < list->count; i++)
            used += (size_t)snprintf(ret_text + used, CONFIG_VALUE_MAX - used, "%s%u",
                                     i ? ", " : "", list->items[i]);
        snprintf(ret_text + used, CONFIG_VALUE_MAX - used, "]");
        return;
    }
}

/* Length of the UTF-8 sequence at text (RFC 3629), 0 where it is not well-formed. */
static size_t utf8_length(const unsigned char *text, size_t size)
{
    const unsigned char c = text[0];
    const size_t length = c < 0x80   ? 1
                          : c < 0xc2 ? 0
                          : c < 0xe0 ? 2
                          : c < 0xf0 ? 3
                          : c < 0xf5 ? 4
                                     : 0;
    if (length == 0 || length > size || c == 0)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) ||
        (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return length;
}

bool config_utf8_valid(const void *text, size_t size, size_t *ret_offset)
{
    const unsigned char *const in = text;
    for (size_t i = 0; i < size;) {
        const size_t length = utf8_length(in + i, size - i);
        if (length == 0) {
            *ret_offset = i;
            return false;
        }
        i += length;
    }
    return true;
}
