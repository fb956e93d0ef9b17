/*
 * authority_client.h - asks an authority to certify the keys of one identity: one connection, one
 * call, one answer.
 *
 * Not here: whether the answer is right (identity_install_renewed), when to ask again
 * (identity/renewal.h).
 */
#pragma once

#include "authority.pb-c.h" /* generated */
#include "identity/identity_files.h"

#include <uv.h>

struct authority_client;

/*
 * The answer, once: OK with the response, which the callee frees
 * (fedra__v1__issue_response__free_unpacked), else null and the reason.
 * UNREACHABLE, TIMEOUT: it does not answer. IDENTITY: it is not the authority, or it did not take
 * our certificate. PERMISSION, INVAL: it refuses. PEER: no answer that can be read. NO_MEMORY.
 */
typedef void authority_client_on_answer(void *context, enum status status, const char *reason,
                                        Fedra__V1__IssueResponse *response);

/*
 * Connects with identity's SVID to "host:port", which must show an identity of the role authority
 * and of identity's trust domain, and asks for identity's own id. request's slices are copied.
 *
 * timeout_ms  for all of it.
 *
 * INVAL for the address, NO_MEMORY; then there is no client. *ret_client is to be closed, once,
 * also after the answer.
 */
[[nodiscard]] enum status
authority_client_ask(uv_loop_t *loop, const char *address, const struct identity *identity,
                     const struct identity_request *request, uint32_t ttl_s, uint32_t timeout_ms,
                     authority_client_on_answer *on_answer, void *context,
                     struct authority_client **ret_client, struct error *err);

/* Ends it, from within on_answer too; no answer comes any more. Then on_closed from the loop. */
void authority_client_close(struct authority_client *client, void (*on_closed)(void *context));
