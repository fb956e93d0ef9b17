/*
 * control_members.c - pages of members, and the search for one.
 */
#include "admin/control_members.h"

#include "base/text.h"

#include <string.h>

/* The first member whose name is over (or, inclusive, is) name by its bytes. */
static uint32_t find_from(const struct control_ops *ops, void *context, const char *name,
                          bool inclusive)
{
    uint32_t first = 0;
    uint32_t end = ops->member_count(context);
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        const int order = strcmp(ops->member_name(context, middle), name);
        if (order < 0 || (order == 0 && !inclusive))
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

enum status control_members_page(const struct control_ops *ops, void *context,
                                 const struct control_request *request, struct bytes *out)
{
    const uint32_t size = request->page_size > 0 ? request->page_size : CONTROL_PAGE_MEMBERS;
    const uint32_t count = ops->member_count(context);
    const uint32_t first =
        request->page_token[0] != 0 ? find_from(ops, context, request->page_token, false) : 0;
    /* Room for one more member and the token stays free. */
    const size_t full = CONTROL_PAGE_BYTES_MAX - 2 * CONTROL_MEMBER_BYTES_MAX;
    enum status status = STATUS_OK;
    uint32_t at = first;
    for (; at < count && at - first < size && out->size < full && status == STATUS_OK; at++) {
        struct control_member member;
        ops->member(context, at, &member);
        status = control_page_append(&member, out);
    }
    if (status != STATUS_OK)
        return status;
    return control_page_finish(at < count ? ops->member_name(context, at - 1) : "", out);
}

/* What people call it: all after the last slash. */
static const char *short_name(const char *id)
{
    const char *const slash = strrchr(id, '/');
    return slash != nullptr ? slash + 1 : id;
}

static bool ends_with(const char *id, const char *name)
{
    const size_t id_size = strlen(id);
    const size_t size = strlen(name);
    return size > 0 && size < id_size && id[id_size - size - 1] == '/' &&
           strcmp(id + id_size - size, name) == 0;
}

static enum status not_found(const struct control_ops *ops, void *context, const char *name,
                             struct error *err)
{
    struct text_nearest nearest = text_nearest_begin(short_name(name));
    char shown[CONTROL_NAME_MAX];
    const uint32_t count = ops->member_count(context);
    for (uint32_t i = 0; i < count; i++)
        text_nearest_try(&nearest, short_name(ops->member_name(context, i)));
    text_escape(name, strlen(name), shown, sizeof(shown));
    if (nearest.best != nullptr)
        return error_set(err, STATUS_NOT_FOUND, "no member is called %s, did you mean %s?", shown,
                         nearest.best);
    return error_set(err, STATUS_NOT_FOUND, "no member is called %s; there are %u", shown, count);
}

enum status control_members_get(const struct control_ops *ops, void *context, const char *name,
                                struct bytes *out, struct error *err)
{
    const uint32_t count = ops->member_count(context);
    uint32_t found = find_from(ops, context, name, true);
    if (found == count || strcmp(ops->member_name(context, found), name) != 0) {
        found = count;
        for (uint32_t i = 0; i < count; i++) {
            if (!ends_with(ops->member_name(context, i), name))
                continue;
            if (found != count)
                return error_set(err, STATUS_EXISTS, "%s may be %s or %s: give the whole id", name,
                                 ops->member_name(context, found), ops->member_name(context, i));
            found = i;
        }
    }
    if (found == count)
        return not_found(ops, context, name, err);
    struct control_member member;
    ops->member(context, found, &member);
    return control_member_encode(&member, out);
}
