/*
 * coordinator_control.h - what of a running coordinator can be seen and done from outside, and how
 * a service for that is attached to it.
 *
 * All on the loop's thread. Not here: who may see and do it, and how it travels (admin/).
 */
#pragma once

#include "host/config.h"
#include "rpc/health.h"
#include "wire/control.h"

#include <uv.h>

struct coordinator_host;

/*
 * Services beside Federation on the coordinator's listener. Slots are called in this order; changed
 * any number of times between open and drain, also from within calls that the rpc layer makes.
 */
struct coordinator_extension {
    /*
     * The coordinator is about to listen: add methods. The state is handed to the other slots; what
     * is not OK stops the coordinator with err's text, and no other slot is called.
     */
    enum status (*open)(struct coordinator_host *host, uv_loop_t *loop, struct rpc_server *server,
                        struct health *health, void **ret_state, struct error *err);
    /* Something changed that coordinator_control_status or coordinator_control_done may tell. */
    void (*changed)(void *state);
    /* The process ends: finish the calls that are open. What handles it has are closed afterwards.
     */
    void (*drain)(void *state);
    /* No call, connection or handle is left. */
    void (*close)(void *state);
};

/* How things stand, but for sequence, which is 0. */
void coordinator_control_status(const struct coordinator_host *host,
                                struct control_status *ret_status);

/* The trust domain of the coordinator's own identity; lives as long as the host. */
const char *coordinator_control_trust_domain(const struct coordinator_host *host);

/* Members in the order of their names, at from 0 to below count. Names live as long as nothing
 * happens. */
uint32_t coordinator_control_member_count(const struct coordinator_host *host);
const char *coordinator_control_member_name(const struct coordinator_host *host, uint32_t at);
void coordinator_control_member(const struct coordinator_host *host, uint32_t at,
                                struct control_member *ret_member);

/* Begins an action that an operator asked for; coordinator_control_done tells its end. INVAL: it
 * cannot be, since the job has ended. */
[[nodiscard]] enum status coordinator_control_act(struct coordinator_host *host,
                                                  enum control_action action,
                                                  const char *operator_id, struct error *err);

/*
 * * Of an action that was begun. OK: what it is for is so, durably. AGAIN: it is under way. INVAL:
 * it will not be so, with the reason.
 */
[[nodiscard]] enum status coordinator_control_done(const struct coordinator_host *host,
                                                   enum control_action action, struct error *err);

/* A call was refused to a peer: counted and logged. */
void coordinator_control_refused(struct coordinator_host *host, const char *peer, const char *text);
