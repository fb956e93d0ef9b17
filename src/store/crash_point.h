/*
 * crash_point.h - named steps at which a test build can be made to die as if by kill -9.
 *
 * With FEDRA_CRASH_POINTS defined, FEDRA_CRASH_AT=NAME:N in the environment makes the process send
 * itself SIGKILL the N-th time (from 1) that it passes the step NAME; with FEDRA_CRASH_COMMAND=WORD
 * only processes whose command line goes on with that word (`fedra WORD ...`). Without the
 * definition nothing of this is in the program. Not thread-safe: set the variable before the first
 * step is passed. Steps:
 * durable_file.{before_write,before_sync,before_rename,before_folder_sync,done},
 * store.{before_model,before_begin,before_commit,after_commit,migrated},
 * outbox.{before_write,before_sync,after_sync}.
 */
#pragma once

#ifdef FEDRA_CRASH_POINTS
/* Dies here where FEDRA_CRASH_AT says so. name is a literal of the list above. */
void crash_point(const char *name);
#else
static inline void crash_point(const char *name)
{
    (void)name;
}
#endif
