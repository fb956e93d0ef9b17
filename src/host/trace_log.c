/*
 * trace_log.c - names of log events for what the machines decide.
 */
#include "host/trace_log.h"

static const char *event_name(enum trace_kind kind)
{
    static const char *const names[] = {
        [TRACE_EPOCH_RAISED] = "epoch.raised",
        [TRACE_JOINED] = "member.joined",
        [TRACE_LEFT] = "member.left",
        [TRACE_DENIED] = "member.denied",
        [TRACE_MODEL_CREATED] = "model.created",
        [TRACE_ROUND_OPENED] = "round.opened",
        [TRACE_ROUND_REPEATED] = "round.repeated",
        [TRACE_ACCEPTED] = "update.accepted",
        [TRACE_DUPLICATE] = "update.duplicate",
        [TRACE_REFUSED] = "update.refused",
        [TRACE_ROUND_CLOSED] = "round.closed",
        [TRACE_VALIDATED] = "round.validated",
        [TRACE_COMMITTED] = "version.committed",
        [TRACE_SETTLED] = "update.settled",
        [TRACE_ENDED] = "job.ended",
        [TRACE_FAILED] = "machine.failed",
        [TRACE_FENCED] = "beacon.fenced",
        [TRACE_TRAINING] = "round.training",
        [TRACE_HELD] = "update.held",
        [TRACE_OFFERED] = "update.offered",
        [TRACE_ACKNOWLEDGED] = "update.acknowledged",
        [TRACE_TURNED_AWAY] = "update.refused",
        [TRACE_COUNTED] = "update.counted",
        [TRACE_DROPPED] = "update.dropped",
        [TRACE_CONNECTION_LOST] = "connection.lost",
        [TRACE_FINISHED] = "job.finished",
    };
    return names[kind];
}

void trace_log(struct log *log, const struct traces *traces, const struct roster *roster)
{
    for (uint32_t i = 0; i < traces->count; i++) {
        const struct trace_record *const record = &traces->items[i];
        const char *const name = event_name(record->kind);
        const bool member = roster != nullptr && record->member != NO_MEMBER;
        const enum log_level level = record->kind == TRACE_FAILED ? LOG_ERROR : LOG_INFO;
        if (member && record->reason != REASON_UNSPECIFIED)
            log_event(log, level, name, LOG_STR("node", roster->members[record->member].name),
                      LOG_U64("a", record->a), LOG_STR("reason", reason_name(record->reason)));
        else if (member)
            log_event(log, level, name, LOG_STR("node", roster->members[record->member].name),
                      LOG_U64("a", record->a), LOG_U64("b", record->b));
        else if (record->reason != REASON_UNSPECIFIED)
            log_event(log, level, name, LOG_U64("a", record->a),
                      LOG_STR("reason", reason_name(record->reason)));
        else
            log_event(log, level, name, LOG_U64("a", record->a), LOG_U64("b", record->b));
    }
}
