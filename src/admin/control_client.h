/*
 * control_client.h - asks a coordinator's fedra.v1.Control, and waits for the answer: for commands.
 *
 * Blocks, with a timeout on everything; has a loop of its own. The process must ignore SIGPIPE. Not
 * here: where the coordinator is and what people see of the answers (cli/).
 */
#pragma once

#include "wire/control.h"

struct control_client;

struct control_client_options {
    const char *host; /* a name or a numeric address; the three are borrowed */
    uint16_t port;
    const char *identity; /* folder of an operator's identity, read anew for each connection */
    uint32_t timeout_ms;  /* of a connection, and of an answer; 1 or more */
};

/*
 * What failed, for exit codes: UNREACHABLE, TIMEOUT; IDENTITY, PERMISSION (on either side);
 * NOT_FOUND (a member); INVAL (the job has ended, is another one, or the request is none);
 * UNSUPPORTED (no such service there); PEER, LIMIT, NO_MEMORY. An identity that cannot be loaded is
 * IDENTITY.
 */

/* NO_MEMORY. Nothing is connected yet. */
[[nodiscard]] enum status control_client_create(const struct control_client_options *options,
                                                struct control_client **ret_client);
void control_client_destroy(struct control_client *client);

/*
 * One request, one answer, appended to ret_answer. method is the bare name ("GetStatus"). Connects
 * where that is not so. The text of an error is whole: where, what, what would be right.
 */
[[nodiscard]] enum status control_client_ask(struct control_client *client, const char *method,
                                             enum control_request_kind kind,
                                             const struct control_request *request,
                                             struct bytes *ret_answer, struct error *err);

/* What a watch tells. False ends it, with CANCELLED. */
struct control_watcher {
    bool (*on_status)(void *context, const struct control_status *status);
    bool (*on_second)(void *context); /* a second has passed; may be null */
};

/* Watches until the coordinator ends the watch (OK) or the connection is lost. */
[[nodiscard]] enum status control_client_watch(struct control_client *client,
                                               const struct control_request *request,
                                               const struct control_watcher *watcher, void *context,
                                               struct error *err);

/* Waits; the next request connects anew. */
void control_client_rest(struct control_client *client, uint32_t time_ms);
