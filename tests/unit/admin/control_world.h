/*
 * control_world.h - a control service over a made-up coordinator, and clients with identities of
 * every kind, on one loop over loopback TLS; for tests.
 */
#pragma once

#include "testing.h"

#include "admin/control_service.h"
#include "identity/identity_files.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"

enum { WORLD_MEMBERS_MAX = 3000, WORLD_MESSAGES_MAX = 4096, BRIEF_S = 4 };

enum world_who {
    WHO_OPERATOR,
    WHO_NODE,
    WHO_COORDINATOR,
    WHO_BRIEF,    /* an operator for BRIEF_S */
    WHO_STRANGER, /* an operator of another trust domain, whose roots the server knows */
    WHO_COUNT,
};

/* A call and what came of it. */
struct world_call {
    struct rpc_call *call;
    bool is_closed;
    enum grpc_status code;
    char text[GRPC_MESSAGE_MAX];
    uint32_t messages;
    struct bytes last;                      /* message */
    uint64_t sequences[WORLD_MESSAGES_MAX]; /* of the statuses of a watch */
    bool is_watch;
};

struct world {
    char folder[64];
    uv_loop_t loop;
    uv_timer_t guard;
    struct identity *identities[WHO_COUNT];
    SSL_CTX *server_tls;
    SSL_CTX *client_tls[WHO_COUNT];
    struct rpc_server *server;
    struct health *health;
    struct control_service *service;
    struct control_service_options options;
    uint16_t port;
    struct rpc_client *clients[WHO_COUNT];
    bool server_is_gone;
    uint32_t clients_freed;
    /* The made-up coordinator. */
    struct control_status status;
    char names[WORLD_MEMBERS_MAX][CONTROL_NAME_MAX];
    uint32_t member_count;
    uint32_t acts;
    enum control_action acted;
    char operator_id[SPIFFE_ID_MAX];
    bool act_refused;
    enum status done;
    bool changes_in_act; /* act calls control_service_changed, as a coordinator does */
    uint32_t refusals;
    char refused_peer[SPIFFE_ID_MAX];
    uint32_t statuses_asked;
};

int world_set_up(void **state);
int world_tear_down(void **state);

/* Makes member node names: node-0000 and so on, sorted. */
void world_make_members(struct world *w, uint32_t count);

/* Begins a call ("GetStatus") as somebody; request may be null: none is sent. */
void world_begin(struct world *w, enum world_who who, const char *method,
                 enum control_request_kind kind, const struct control_request *request,
                 struct world_call *call);

/* Until the call is closed, or has count messages. Fails after 20 s. */
void world_finish(struct world *w, struct world_call *call);
void world_wait_for(struct world *w, struct world_call *call, uint32_t count);
/* Until the coordinator was asked to act so often. */
void world_wait_for_acts(struct world *w, uint32_t acts);
void world_run_for(struct world *w, uint32_t time_ms);

/* Ends a call that is open still, and frees what it holds. */
void world_forget(struct world *w, struct world_call *call);

/* begin, finish; the answer's last message stays in call. */
void world_ask(struct world *w, enum world_who who, const char *method,
               enum control_request_kind kind, const struct control_request *request,
               struct world_call *call);
