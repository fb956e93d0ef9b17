/*
 * quarantine_report.c - see quarantine_report.h.
 */
#include "host/quarantine_report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_SHOWN = 5, NAMES_TEXT_MAX = 256 };

bool quarantine_holds(const struct coordinator *machine, const struct member *member)
{
    return machine->settings.quarantine != QUARANTINE_OFF &&
           member->next_reputation.until > machine->round + 1;
}

static bool goes_in(const struct coordinator *machine, const struct member *member)
{
    return quarantine_holds(machine, member) &&
           member->next_reputation.until != member->reputation.until;
}

static bool comes_out(const struct coordinator *machine, const struct member *member)
{
    return machine->settings.quarantine == QUARANTINE_AUTO &&
           member->next_reputation.until == machine->round + 1;
}

void quarantine_report_log(const struct coordinator *machine, struct log *log)
{
    const char *const in = machine->settings.quarantine == QUARANTINE_AUTO
                               ? "member.quarantined"
                               : "member.quarantine_suggested";
    for (uint32_t i = 0; i < machine->roster.count; i++) {
        const struct member *const member = &machine->roster.members[machine->roster.order[i]];
        const struct reputation *const next = &member->next_reputation;
        if (goes_in(machine, member))
            log_event(log, LOG_WARN, in, LOG_U64("round", machine->round),
                      LOG_STR("node", member->name), LOG_U64("until", next->until),
                      LOG_STR("reason", reason_suspected_name(next->flag.reason)),
                      LOG_F64("score", next->flag.score), LOG_U64("flagged", next->flagged),
                      LOG_U64("rounds", next->rounds),
                      LOG_F64("reputation", reputation_value(next)));
        else if (comes_out(machine, member))
            log_event(log, LOG_INFO, "member.on_probation", LOG_U64("round", machine->round),
                      LOG_STR("node", member->name), LOG_F64("reputation", reputation_value(next)));
    }
}

/* "a, b and 3 more" of those that the test picks; their number, and the last one's index. */
static uint32_t name_them(const struct coordinator *machine,
                          bool (*test)(const struct coordinator *, const struct member *),
                          char *ret_text, const struct member **ret_last)
{
    uint32_t count = 0;
    size_t used = 0;
    ret_text[0] = 0;
    for (uint32_t i = 0; i < machine->roster.count; i++) {
        const struct member *const member = &machine->roster.members[machine->roster.order[i]];
        const char *const slash = strrchr(member->name, '/');
        if (!test(machine, member))
            continue;
        *ret_last = member;
        if (++count > NAMES_SHOWN)
            continue;
        const int length =
            snprintf(ret_text + used, NAMES_TEXT_MAX - used, "%s%.40s", count > 1 ? ", " : "",
                     slash != nullptr ? slash + 1 : member->name);
        used += length > 0 ? (size_t)length : 0;
    }
    if (count > NAMES_SHOWN)
        snprintf(ret_text + used, NAMES_TEXT_MAX - used, " and %u more", count - NAMES_SHOWN);
    return count;
}

void quarantine_report_progress(const struct coordinator *machine)
{
    const struct member *last = nullptr;
    char names[NAMES_TEXT_MAX];
    const char *const begin = isatty(STDOUT_FILENO) ? "\r\033[K" : "";
    if (name_them(machine, goes_in, names, &last) > 0)
        printf("%s%s: %s until round %llu (%s%s)\n", begin,
               machine->settings.quarantine == QUARANTINE_AUTO ? "quarantined" : "suspicious",
               names, (unsigned long long)last->next_reputation.until,
               reason_suspected_name(last->next_reputation.flag.reason),
               machine->settings.quarantine == QUARANTINE_AUTO
                   ? ""
                   : "; robust.quarantine: auto would not ask them");
    if (name_them(machine, comes_out, names, &last) > 0)
        printf("%sasked again, on probation: %s\n", begin, names);
    fflush(stdout);
}
