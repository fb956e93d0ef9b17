/*
 * quarantine_report.h - who goes into quarantine and who is asked again, for the log and people.
 *
 * To be called between a round's FX_COMMIT and its EV_COMMITTED, when a member's reputation is
 * still that of before and its next one that of after. Not here: who decides (core/).
 */
#pragma once

#include "core/coordinator.h"
#include "host/log.h"

/* Whether the next round does not ask it. Under `suggest`: whether it should not. */
bool quarantine_holds(const struct coordinator *machine, const struct member *member);

/* An event each: `member.quarantined`, `member.quarantine_suggested`, `member.on_probation`. */
void quarantine_report_log(const struct coordinator *machine, struct log *log);

/* A line on standard output for those who go in, one for those who come out; none where nobody
 * does. */
void quarantine_report_progress(const struct coordinator *machine);
