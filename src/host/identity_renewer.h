/*
 * identity_renewer.h - keeps the identity of a running process fresh: asks the authority for new
 * certificates of new keys in time, puts them into the identity's folder, and takes up what an
 * operator or a helper puts there.
 *
 * Not here: when (identity/renewal.h); what a process does with a new identity
 * (coordinator_host.c, node_link.c).
 */
#pragma once

#include "host/log.h"
#include "host/worker.h"
#include "identity/identity_files.h"

#include <uv.h>

struct identity_renewer;

struct identity_renewer_options {
    const char *who;       /* "fedra node", before what is said on standard error; a literal */
    const char *dir;       /* the identity's folder; copied, as the next */
    const char *authority; /* "host:port"; "": somebody else renews the files */
    uint32_t ttl_s;        /* asked for */
    uint64_t seed;         /* of the jitter */
    struct log *log;
    struct worker *worker; /* makes keys, reads and writes files; outlives the renewer */
};

/*
 * The folder holds another identity of the same SPIFFE ID, checked as identity_open does: it is to
 * be used from now on. identity is the renewer's: identity_ref what is kept.
 */
typedef void identity_renewer_on_renewed(void *context, struct identity *identity);

/*
 * Watches over identity, which was opened from the folder; a reference is taken. What goes wrong
 * later is logged (identity.not_renewed, identity.unusable) and tried again; shortly before the end
 * and at it an operator is told on standard error. NO_MEMORY.
 */
[[nodiscard]] enum status
identity_renewer_open(uv_loop_t *loop, const struct identity_renewer_options *options,
                      struct identity *identity, identity_renewer_on_renewed *on_renewed,
                      void *context, struct identity_renewer **ret_renewer);

/*
 * Ends it; on_renewed is not called any more. on_closed (may be null) comes from the loop, after
 * the job under way: the worker must not be closed before.
 */
void identity_renewer_close(struct identity_renewer *renewer, void (*on_closed)(void *context));
