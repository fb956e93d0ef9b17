/*
 * trace_log.h - a machine's trace records as events of the log.
 */
#pragma once

#include "core/roster.h"
#include "host/log.h"

/* Writes each record; names of members come from roster, which may be null. */
void trace_log(struct log *log, const struct traces *traces, const struct roster *roster);
