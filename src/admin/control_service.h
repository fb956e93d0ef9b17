/*
 * control_service.h - fedra.v1.Control on an rpc_server: who may call, requests, answers, watches.
 *
 * What is answered comes through an ops table; this knows no coordinator. Not here: the messages
 * (wire/control.h), the table over a running coordinator (coordinator_admin.h), the client
 * (control_client.h).
 */
#pragma once

#include "rpc/health.h"
#include "wire/control.h"

#include <uv.h>

#define CONTROL_SERVICE "fedra.v1.Control"

enum {
    CONTROL_CALLS_MAX = 256,           /* at once; further ones: RESOURCE_EXHAUSTED */
    CONTROL_WATCHES_MAX = 64,          /* of them */
    CONTROL_WATCH_INTERVAL_MS = 100,   /* between two statuses of a watch, at least */
    CONTROL_REQUEST_TIMEOUT_MS = 10000 /* a call without its request is ended then */
};

/* What the service asks its owner, always on the loop's thread. Every slot is required. */
struct control_ops {
    /* How things stand; sequence is set here. */
    void (*status)(void *context, struct control_status *ret_status);
    /* Members by the bytes of their ids, at below count; the name is borrowed for a moment. */
    uint32_t (*member_count)(void *context);
    const char *(*member_name)(void *context, uint32_t at);
    void (*member)(void *context, uint32_t at, struct control_member *ret_member);
    /* An operator asks for it; not OK: it cannot be, with the reason in err. May call
     * control_service_changed. */
    enum status (*act)(void *context, enum control_action action, const char *operator_id,
                       struct error *err);
    /* Of what was begun. OK: it is so, durably. AGAIN: under way. Else it will not be so: err. */
    enum status (*done)(void *context, enum control_action action, struct error *err);
    /* A call was refused to a peer, who was told this text: to count and log. */
    void (*refused)(void *context, const char *peer, const char *text);
};

struct control_service_options {
    const char *trust_domain;    /* operators must be of this one; copied */
    uint32_t watch_interval_ms;  /* 0: CONTROL_WATCH_INTERVAL_MS */
    uint32_t request_timeout_ms; /* 0: CONTROL_REQUEST_TIMEOUT_MS */
};

struct control_service;

/*
 * Adds the service to a server that does not listen yet, and to its health. ops and context live
 * longer than the service. LIMIT, NO_MEMORY, EXISTS; the server must then be closed unused.
 */
[[nodiscard]] enum status control_service_open(uv_loop_t *loop, struct rpc_server *server,
                                               struct health *health,
                                               const struct control_service_options *options,
                                               const struct control_ops *ops, void *context,
                                               struct control_service **ret_service);

/* Something changed: watches are told soon, actions under way looked at now. */
void control_service_changed(struct control_service *service);

/*
 * The process ends: watches get the last status and end with OK, other calls end with UNAVAILABLE,
 * new ones too; the service's handles are closed.
 */
void control_service_drain(struct control_service *service);

/* Frees it, once the server and the loop's handles are gone. Null is allowed. */
void control_service_destroy(struct control_service *service);
