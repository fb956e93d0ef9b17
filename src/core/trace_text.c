/*
 * trace_text.c - fills the sentences of TRACE_LIST: {m} the member, {a} and {b} the numbers, {r}
 * the reason.
 */
#include "core/trace_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const sentences[] = {
#define X(name, text) text,
    TRACE_LIST(X)
#undef X
};

static int put_field(const struct trace_record *record, const char *member, char field, char *out,
                     size_t room)
{
    switch (field) {
    case 'm':
        return snprintf(out, room, "%s", member != nullptr ? member : "a stranger");
    case 'a':
        return snprintf(out, room, "%" PRIu64, record->a);
    case 'b':
        return snprintf(out, room, "%" PRIu64, record->b);
    default:
        return snprintf(out, room, "%s", reason_text(record->reason));
    }
}

void trace_text(const struct trace_record *record, const char *who, const char *member, char *ret,
                size_t capacity)
{
    int length = snprintf(ret, capacity, "%9.3f s  %s: ", (double)record->now_ns / 1e9, who);
    size_t used = length < 0 ? 0 : (size_t)length;
    for (const char *in = sentences[record->kind]; *in != 0 && used + 1 < capacity; in++) {
        if (in[0] == '{' && in[1] != 0 && in[2] == '}') {
            length = put_field(record, member, in[1], ret + used, capacity - used);
            used += length < 0 ? 0 : (size_t)length;
            in += 2;
        } else {
            ret[used++] = *in;
        }
    }
    ret[used < capacity ? used : capacity - 1] = 0;
}
