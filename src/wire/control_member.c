/*
 * control_member.c - members, and pages of them, between plain structs and protobuf bytes.
 */
#include "wire/control_internal.h"
#include "wire/protobuf.h"

#include <math.h>

enum { PAGE_MEMBERS = 1, PAGE_TOKEN = 2 }; /* fields of ListMembersResponse */

static bool member_is_valid(const struct control_member *member)
{
    return text_is_spiffe_id(member->spiffe_id, sizeof(member->spiffe_id)) &&
           member->state >= CONTROL_MEMBER_AWAY && member->state <= CONTROL_MEMBER_QUARANTINED &&
           member->reputation >= 0 && member->reputation <= 1 &&
           (unsigned)member->flag_reason <= SUSPECTED_NON_FINITE && isfinite(member->flag_score) &&
           member->flag_score >= 0;
}

/* A message and what it points to. */
struct member_message {
    Fedra__V1__Member member;
    struct control_counts_messages dropped;
    struct control_counts_messages refused;
};

static void message_of(const struct control_member *member, struct member_message *made)
{
    Fedra__V1__Member *const message = &made->member;
    fedra__v1__member__init(message);
    control_counts_borrow(&member->dropped, &made->dropped);
    control_counts_borrow(&member->refused, &made->refused);
    message->spiffe_id = protobuf_text(member->spiffe_id, sizeof(member->spiffe_id));
    message->state = (Fedra__V1__MemberState)member->state;
    message->connected = member->connected;
    message->since_unix_ms = member->since_unix_ms;
    message->round_counted = member->round_counted;
    message->counted = member->counted;
    message->n_dropped = made->dropped.count;
    message->dropped = made->dropped.pointers;
    message->n_refused = made->refused.count;
    message->refused = made->refused.pointers;
    message->samples = member->samples;
    message->loss = member->samples > 0 ? member->loss : 0;
    message->certificate_ends_unix_s = member->certificate_ends_unix_s;
    message->reputation = member->reputation;
    message->rounds = member->rounds;
    message->flagged = member->flagged;
    message->flagged_round = member->flagged_round;
    message->flag_reason = member->flagged_round > 0
                               ? (Fedra__V1__Suspicion)(member->flag_reason + 1)
                               : FEDRA__V1__SUSPICION__SUSPICION_UNSPECIFIED;
    message->flag_score = member->flagged_round > 0 ? member->flag_score : 0;
    message->quarantined_until = member->quarantined_until;
}

enum status control_member_encode(const struct control_member *member, struct bytes *out)
{
    struct member_message made;
    if (!member_is_valid(member))
        return STATUS_INVAL;
    message_of(member, &made);
    return protobuf_pack(&made.member.base, out);
}

enum status control_member_decode(struct slice input, struct control_member *ret_member,
                                  struct error *err)
{
    ProtobufCMessage *base = nullptr;
    enum status status = protobuf_unpack(&fedra__v1__member__descriptor, input,
                                         CONTROL_MEMBER_BYTES_MAX, &base, err);
    if (status != STATUS_OK)
        return status;
    const Fedra__V1__Member *const message = (const Fedra__V1__Member *)base;
    struct control_member member = {
        .state = (enum control_member_state)message->state,
        .connected = message->connected != 0,
        .since_unix_ms = message->since_unix_ms,
        .round_counted = message->round_counted,
        .counted = message->counted,
        .samples = message->samples,
        .loss = message->loss,
        .certificate_ends_unix_s = message->certificate_ends_unix_s,
        .reputation = message->reputation,
        .rounds = message->rounds,
        .flagged = message->flagged,
        .flagged_round = message->flagged_round,
        .flag_reason = message->flag_reason > 0 ? (enum reason_suspected)(message->flag_reason - 1)
                                                : SUSPECTED_NORM,
        .flag_score = message->flag_score,
        .quarantined_until = message->quarantined_until,
    };
    control_counts_take(message->n_dropped, message->dropped, &member.dropped);
    control_counts_take(message->n_refused, message->refused, &member.refused);
    if (!text_take(message->spiffe_id, member.spiffe_id, sizeof(member.spiffe_id)) ||
        !member_is_valid(&member))
        status = error_set(err, STATUS_PEER, "member: its SPIFFE id, state or reputation is none");
    protobuf_free(base);
    if (status == STATUS_OK)
        *ret_member = member;
    return status;
}

enum status control_page_append(const struct control_member *member, struct bytes *out)
{
    struct member_message made;
    if (!member_is_valid(member))
        return STATUS_INVAL;
    message_of(member, &made);
    return protobuf_pack_field(PAGE_MEMBERS, &made.member.base, out);
}

enum status control_page_finish(const char *token, struct bytes *out)
{
    Fedra__V1__ListMembersResponse message = FEDRA__V1__LIST_MEMBERS_RESPONSE__INIT;
    if (!text_is_printable(token, 0, CONTROL_NAME_MAX))
        return STATUS_INVAL;
    message.next_page_token = protobuf_text(token, CONTROL_NAME_MAX);
    return protobuf_pack(&message.base, out);
}

enum status control_page_take(struct slice *page, struct control_member *ret_member,
                              char ret_token[static CONTROL_NAME_MAX], struct error *err)
{
    if (page->size > CONTROL_PAGE_BYTES_MAX)
        return error_set(err, STATUS_PEER, "members: %zu bytes, at most %d are taken", page->size,
                         CONTROL_PAGE_BYTES_MAX);
    while (page->size > 0) {
        struct field field;
        if (field_take(page, &field) != STATUS_OK)
            return error_set(err, STATUS_PEER, "members: not a protobuf message");
        if (field.number != PAGE_MEMBERS && field.number != PAGE_TOKEN)
            continue;
        if (field.type != FIELD_BYTES)
            return error_set(err, STATUS_PEER, "members: a field of another type");
        if (field.number == PAGE_MEMBERS)
            return control_member_decode(field.data, ret_member, err);
        if (!text_take(protobuf_bytes(field.data.data, field.data.size), ret_token,
                       CONTROL_NAME_MAX) ||
            !text_is_printable(ret_token, 0, CONTROL_NAME_MAX))
            return error_set(err, STATUS_PEER, "members: next_page_token is too long or no text");
    }
    return STATUS_NOT_FOUND;
}
