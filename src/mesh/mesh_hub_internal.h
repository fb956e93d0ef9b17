/*
 * mesh_hub_internal.h - what the files of the direct hub share; not for others.
 */
#pragma once

#include "mesh/mesh_direct_internal.h"

/* Who is at the other end of a connection; its user data. In the hub's list. */
struct hub_peer {
    struct mesh_peer who;
    struct rpc_connection *connection;
    struct hub_peer *next;
    struct hub_peer *previous;
    bool is_expired; /* the connection is being ended */
};

struct hub_push;

struct hub_direct {
    struct hub head;
    struct hub_direct_options options; /* address and tls are not kept */
    const struct hub_handlers *handlers;
    void *context;
    struct rpc_server *server;
    struct health *health;
    struct hub_peer *peers;
    uv_timer_t expiry;        /* runs while there are peers */
    struct watch watch;       /* calls that wait for their peer */
    struct id_table sessions; /* struct hub_join */
    struct id_table tickets;  /* struct hub_push */
    uint64_t next_session;
    uint64_t next_ticket;
    uv_idle_t idle; /* runs while offers are to be made again: */
    struct hub_push *resumed_first;
    struct hub_push *resumed_last;
    int handles; /* not closed yet */
    bool is_draining;
    void (*on_closed)(void *context);
};

/* The head of every call's own struct; a call's user data. Watched while it waits for the peer. */
struct hub_call {
    struct watched watched;
    struct hub_direct *hub;
    struct rpc_call *call;
    const struct hub_peer *peer;
};

/*
 * Makes the struct (size zero bytes) of a call that begins and watches it; where there is no memory
 * the call is refused, and null given.
 */
void *hub_call_create(struct hub_direct *hub, struct rpc_call *call, size_t size);

/* Watches it no more and frees it. */
void hub_call_destroy(struct hub_call *call);

/* Whether a member calls; else the call is refused, and on_refused told. */
bool hub_check_member(struct hub_direct *hub, struct rpc_call *call, const char *what);

/* mesh_hub_join.c */
extern const struct rpc_call_handlers hub_join_handlers;
void hub_join_open(struct rpc_call *call, void *context);
enum status hub_join_send(struct hub *hub, uint64_t session, const struct directive *directive);
void hub_join_end(struct hub *hub, uint64_t session, const char *reason);

/* mesh_hub_push.c */
extern const struct rpc_call_handlers hub_push_handlers;
void hub_push_open(struct rpc_call *call, void *context);
void hub_push_receipt(struct hub *hub, uint64_t ticket, const struct receipt *receipt);
void hub_push_resume(struct hub *hub, uint64_t ticket);

/* mesh_hub_pull.c */
extern const struct rpc_call_handlers hub_pull_handlers;
void hub_pull_open(struct rpc_call *call, void *context);

/* mesh_hub_pulse.c */
extern const struct rpc_call_handlers hub_pulse_handlers;
void hub_pulse_open(struct rpc_call *call, void *context);

static inline struct hub_direct *hub_direct_of(struct hub *hub)
{
    return (struct hub_direct *)hub; /* the head is the first member */
}
