/*
 * control_world.c - the scene of the control service's tests.
 */
#include "control_world.h"

#include "identity/tls_context.h"
#include "identity_fixture.h"

#include <signal.h>
#include <time.h>

/* --- the made-up coordinator --- */

static void get_status(void *context, struct control_status *ret_status)
{
    struct world *const w = context;
    w->statuses_asked++;
    w->status.uptime_ms++; /* time passes */
    *ret_status = w->status;
}

static uint32_t get_member_count(void *context)
{
    return ((struct world *)context)->member_count;
}

static const char *get_member_name(void *context, uint32_t at)
{
    const struct world *const w = context;
    assert_true(at < w->member_count);
    return w->names[at];
}

static void get_member(void *context, uint32_t at, struct control_member *ret_member)
{
    const struct world *const w = context;
    assert_true(at < w->member_count);
    *ret_member = (struct control_member){.state = CONTROL_MEMBER_IDLE, .counted = at};
    memcpy(ret_member->spiffe_id, w->names[at], sizeof(ret_member->spiffe_id));
}

static enum status act(void *context, enum control_action action, const char *operator_id,
                       struct error *err)
{
    struct world *const w = context;
    if (w->act_refused)
        return error_set(err, STATUS_INVAL, "the job has ended: exhausted");
    w->acts++;
    w->acted = action;
    snprintf(w->operator_id, sizeof(w->operator_id), "%s", operator_id);
    if (w->changes_in_act)
        control_service_changed(w->service);
    return STATUS_OK;
}

static enum status is_done(void *context, enum control_action action, struct error *err)
{
    const struct world *const w = context;
    return w->done == STATUS_INVAL ? error_set(err, w->done, "the job has ended: exhausted")
                                   : w->done;
}

static void refused(void *context, const char *peer, const char *text)
{
    struct world *const w = context;
    w->refusals++;
    snprintf(w->refused_peer, sizeof(w->refused_peer), "%s", peer);
}

static const struct control_ops ops = {
    .status = get_status,
    .member_count = get_member_count,
    .member_name = get_member_name,
    .member = get_member,
    .act = act,
    .done = is_done,
    .refused = refused,
};

void world_make_members(struct world *w, uint32_t count)
{
    assert_true(count <= WORLD_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        snprintf(w->names[i], sizeof(w->names[i]), FIXTURE_ID("node/node-%04u"), i);
    w->member_count = count;
}

/* --- time --- */

static void on_guard(uv_timer_t *timer)
{
    fprintf(stderr, "the case hangs\n");
    abort();
}

static void run_until(struct world *w, const bool *done)
{
    uv_update_time(&w->loop);
    uv_timer_start(&w->guard, on_guard, 20000, 0);
    while (!*done)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->guard);
}

static void on_rest(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void world_run_for(struct world *w, uint32_t time_ms)
{
    bool done = false;
    uv_timer_t timer;
    uv_timer_init(&w->loop, &timer);
    timer.data = &done;
    uv_update_time(&w->loop);
    uv_timer_start(&timer, on_rest, time_ms, 0);
    run_until(w, &done);
    uv_close((uv_handle_t *)&timer, nullptr);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

/* --- calls --- */

static void call_on_message(struct rpc_call *rpc, struct slice message)
{
    struct world_call *const call = rpc_call_get_user(rpc);
    struct control_status status;
    call->last.size = 0;
    assert_int_equal(bytes_append(&call->last, message.data, message.size), STATUS_OK);
    if (call->is_watch) {
        assert_true(call->messages < WORLD_MESSAGES_MAX);
        assert_int_equal(control_status_decode(message, &status, nullptr), STATUS_OK);
        call->sequences[call->messages] = status.sequence;
    }
    call->messages++;
}

static void call_on_closed(struct rpc_call *rpc, enum grpc_status code, const char *message)
{
    struct world_call *const call = rpc_call_get_user(rpc);
    call->is_closed = true;
    call->code = code;
    snprintf(call->text, sizeof(call->text), "%s", message);
}

void world_begin(struct world *w, enum world_who who, const char *method,
                 enum control_request_kind kind, const struct control_request *request,
                 struct world_call *call)
{
    static const struct rpc_client_handlers client_handlers = {};
    static const struct rpc_call_handlers call_handlers = {.on_message = call_on_message,
                                                           .on_closed = call_on_closed};
    struct error err = {};
    char path[64];
    struct bytes message;
    *call = (struct world_call){.is_watch = strcmp(method, "WatchStatus") == 0};
    bytes_init(&call->last, CONTROL_PAGE_BYTES_MAX);
    if (w->clients[who] == nullptr)
        assert_int_equal(rpc_client_open(&w->loop, "127.0.0.1", w->port, w->client_tls[who],
                                         nullptr, &client_handlers, w, &w->clients[who], &err),
                         STATUS_OK);
    snprintf(path, sizeof(path), "/fedra.v1.Control/%s", method);
    assert_int_equal(rpc_client_call(w->clients[who], path, 0, &call_handlers, call, &call->call),
                     STATUS_OK);
    if (request == nullptr)
        return;
    bytes_init(&message, CONTROL_REQUEST_BYTES_MAX);
    assert_int_equal(control_request_encode(kind, request, &message), STATUS_OK);
    assert_int_equal(rpc_call_send(call->call, bytes_slice(&message)), STATUS_OK);
    assert_int_equal(rpc_call_half_close(call->call), STATUS_OK);
    bytes_deinit(&message);
}

void world_finish(struct world *w, struct world_call *call)
{
    run_until(w, &call->is_closed);
}

void world_wait_for(struct world *w, struct world_call *call, uint32_t count)
{
    uv_update_time(&w->loop);
    uv_timer_start(&w->guard, on_guard, 20000, 0);
    while (call->messages < count && !call->is_closed)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->guard);
    assert_true(call->messages >= count);
}

void world_wait_for_acts(struct world *w, uint32_t acts)
{
    uv_update_time(&w->loop);
    uv_timer_start(&w->guard, on_guard, 20000, 0);
    while (w->acts < acts)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->guard);
}

void world_forget(struct world *w, struct world_call *call)
{
    if (!call->is_closed) {
        rpc_call_cancel(call->call, GRPC_STATUS_CANCELLED, nullptr);
        world_finish(w, call);
    }
    bytes_deinit(&call->last);
}

void world_ask(struct world *w, enum world_who who, const char *method,
               enum control_request_kind kind, const struct control_request *request,
               struct world_call *call)
{
    world_begin(w, who, method, kind, request, call);
    world_finish(w, call);
}

/* --- fixtures --- */

static void make_identities(struct world *w)
{
    static const char *const paths[WHO_COUNT] = {"operator/ann", "node/a", "coordinator",
                                                 "operator/bob", "operator/eve"};
    struct error err = {};
    const int64_t now = (int64_t)time(nullptr);
    struct authority *const own = fixture_authority(fixture_path(w->folder, "own"), now);
    struct authority *other = nullptr;
    assert_int_equal(authority_init(fixture_path(w->folder, "other"), "other.test", now, &err),
                     STATUS_OK);
    assert_int_equal(authority_open(fixture_path(w->folder, "other"), &other, &err), STATUS_OK);
    for (int i = 0; i < WHO_COUNT; i++) {
        char id[128];
        const bool is_stranger = i == WHO_STRANGER;
        snprintf(id, sizeof(id), "spiffe://%s/fedra/%s",
                 is_stranger ? "other.test" : FIXTURE_DOMAIN, paths[i]);
        char dir[128];
        snprintf(dir, sizeof(dir), "%s/%d", w->folder, i);
        w->identities[i] = fixture_identity(is_stranger ? other : own, dir, IDENTITY_KEY_P256, id,
                                            i == WHO_BRIEF ? BRIEF_S : 3600, now);
    }
    assert_int_equal(trust_add_pem(w->identities[WHO_COORDINATOR]->trust, "other.test",
                                   authority_bundle(other), &err),
                     STATUS_OK);
    assert_int_equal(trust_add_pem(w->identities[WHO_STRANGER]->trust, FIXTURE_DOMAIN,
                                   authority_bundle(own), &err),
                     STATUS_OK);
    authority_close(own);
    authority_close(other);
    assert_int_equal(tls_context_create(w->identities[WHO_COORDINATOR], true, SPIFFE_ROLES_FEDRA,
                                        &w->server_tls, &err),
                     STATUS_OK);
    for (int i = 0; i < WHO_COUNT; i++)
        assert_int_equal(tls_context_create(w->identities[i], false, SPIFFE_ROLE_COORDINATOR,
                                            &w->client_tls[i], &err),
                         STATUS_OK);
}

int world_set_up(void **state)
{
    static const struct rpc_server_handlers server_handlers = {};
    struct world *const w = calloc(1, sizeof(*w));
    struct error err = {};
    assert_non_null(w);
    (void)signal(SIGPIPE, SIG_IGN);
    strcpy(w->folder, "/tmp/control-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    make_identities(w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    uv_timer_init(&w->loop, &w->guard);
    w->status = (struct control_status){.job = "fashion",
                                        .coordinator = FIXTURE_ID("coordinator"),
                                        .phase = CONTROL_PHASE_COLLECTING,
                                        .round = 1};
    w->options = (struct control_service_options){
        .trust_domain = FIXTURE_DOMAIN, .watch_interval_ms = 1, .request_timeout_ms = 200};
    assert_int_equal(health_create(&w->health), STATUS_OK);
    assert_int_equal(
        rpc_server_create(&w->loop, w->server_tls, nullptr, &server_handlers, w, &w->server),
        STATUS_OK);
    assert_int_equal(
        control_service_open(&w->loop, w->server, w->health, &w->options, &ops, w, &w->service),
        STATUS_OK);
    assert_int_equal(rpc_server_listen(w->server, "127.0.0.1", 0, &w->port, &err), STATUS_OK);
    *state = w;
    return 0;
}

static void on_server_gone(void *context)
{
    ((struct world *)context)->server_is_gone = true;
}

int world_tear_down(void **state)
{
    struct world *const w = *state;
    control_service_drain(w->service);
    for (int i = 0; i < WHO_COUNT; i++) {
        if (w->clients[i] != nullptr)
            rpc_client_close(w->clients[i], nullptr);
    }
    rpc_server_close(w->server, on_server_gone);
    run_until(w, &w->server_is_gone);
    uv_close((uv_handle_t *)&w->guard, nullptr);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    control_service_destroy(w->service);
    health_destroy(w->health);
    SSL_CTX_free(w->server_tls);
    for (int i = 0; i < WHO_COUNT; i++) {
        SSL_CTX_free(w->client_tls[i]);
        identity_close(w->identities[i]);
    }
    fixture_remove(w->folder);
    free(w);
    return 0;
}
