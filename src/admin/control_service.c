/*
 * control_service.c - the calls of fedra.v1.Control, from permission to answer.
 *
 * A watch holds at most one message that its peer has not taken: while it does, newer statuses
 * replace each other, and the newest goes out when there is room.
 */
#include "admin/control_service.h"

#include "admin/control_members.h"
#include "base/check.h"
#include "base/text.h"
#include "identity/tls_context.h"
#include "mesh/stall_watch.h"
#include "rpc/rpc_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct control_call;

struct method {
    const char *name;
    enum control_request_kind kind;
    /* Answers a request that is good, now or later. */
    void (*answer)(struct control_call *call, const struct control_request *request);
    enum control_action action; /* of the three that act */
    bool is_watch;
};

/* A call of any method. */
struct control_call {
    struct watched watched; /* until its request comes */
    struct control_call *next;
    struct control_call *previous;
    struct control_service *service;
    struct rpc_call *call;
    const struct method *method;
    uint64_t told; /* the sequence of the status sent last; 0 none */
    bool has_request;
    bool is_acting; /* what it asked for is begun */
    bool is_over;   /* finished; on_closed follows */
    int64_t identity_ends_unix_s;
    char operator_id[SPIFFE_ID_MAX];
};

static void answer_status(struct control_call *call, const struct control_request *request);
static void answer_watch(struct control_call *call, const struct control_request *request);
static void answer_list(struct control_call *call, const struct control_request *request);
static void answer_get(struct control_call *call, const struct control_request *request);
static void answer_action(struct control_call *call, const struct control_request *request);

static const struct method methods[] = {
    {.name = "GetStatus", .kind = CONTROL_JOB_ONLY, .answer = answer_status},
    {.name = "WatchStatus", .kind = CONTROL_JOB_ONLY, .answer = answer_watch, .is_watch = true},
    {.name = "ListMembers", .kind = CONTROL_LIST_MEMBERS, .answer = answer_list},
    {.name = "GetMember", .kind = CONTROL_GET_MEMBER, .answer = answer_get},
    {.name = "Pause", .kind = CONTROL_JOB_ONLY, .answer = answer_action, .action = CONTROL_PAUSE},
    {.name = "Resume", .kind = CONTROL_JOB_ONLY, .answer = answer_action, .action = CONTROL_RESUME},
    {.name = "Cancel", .kind = CONTROL_JOB_ONLY, .answer = answer_action, .action = CONTROL_CANCEL},
};

enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

/* What a method's calls begin with. */
struct served {
    struct control_service *service;
    const struct method *method;
};

struct control_service {
    uv_timer_t timer;   /* runs where watches are to be told */
    struct watch watch; /* calls whose request does not come */
    struct served served[METHODS];
    const struct control_ops *ops;
    void *context;
    struct control_call *calls;
    uint32_t call_count;
    uint32_t watch_count;
    uint64_t watch_interval_ms;
    uint64_t told_ms; /* when watches were told last, of the loop's clock */
    uint64_t sequence;
    struct bytes settled; /* the newest status without what only time changes */
    struct bytes newest;  /* the same as it is sent */
    bool is_draining;
    char trust_domain[SPIFFE_ID_MAX];
};

/* --- ends of calls --- */

static void finish(struct control_call *call, enum grpc_status code, const char *text)
{
    call->is_over = true;
    if (rpc_call_finish(call->call, code, text) != STATUS_OK)
        rpc_call_cancel(call->call, code, text);
}

static void finish_with(struct control_call *call, enum status status, const struct error *err)
{
    finish(call, grpc_status_of(status), err->text[0] != 0 ? err->text : status_text(status));
}

/* One message, then OK. */
static void reply(struct control_call *call, const struct bytes *message)
{
    const enum status status = rpc_call_send(call->call, bytes_slice(message));
    if (status == STATUS_OK)
        finish(call, GRPC_STATUS_OK, nullptr);
    else
        finish(call, GRPC_STATUS_RESOURCE_EXHAUSTED, status_text(status));
}

/* --- statuses --- */

/* Encodes how things stand into newest; the sequence rises where more than time has passed. */
static enum status refresh(struct control_service *service)
{
    struct control_status now;
    struct bytes settled;
    service->ops->status(service->context, &now);
    struct control_status timeless = now;
    timeless.uptime_ms = 0;
    timeless.deadline_ms = 0;
    timeless.sequence = 0;
    bytes_init(&settled, CONTROL_STATUS_BYTES_MAX);
    enum status status = control_status_encode(&timeless, &settled);
    if (status == STATUS_OK && (settled.size != service->settled.size || service->sequence == 0 ||
                                memcmp(settled.data, service->settled.data, settled.size) != 0)) {
        bytes_deinit(&service->settled);
        service->settled = settled;
        bytes_init(&settled, 0);
        service->sequence++;
    }
    bytes_deinit(&settled);
    now.sequence = service->sequence;
    service->newest.size = 0;
    if (status == STATUS_OK)
        status = control_status_encode(&now, &service->newest);
    return status;
}

static void answer_status(struct control_call *call, const struct control_request *request)
{
    const enum status status = refresh(call->service);
    if (status == STATUS_OK)
        reply(call, &call->service->newest);
    else
        finish(call, GRPC_STATUS_INTERNAL, status_text(status));
}

/* A connection may outlive the certificate that opened it. */
static bool is_expired(int64_t ends_unix_s)
{
    return (int64_t)time(nullptr) >= ends_unix_s;
}

/* Sends a watch the newest status. Whether it has to wait: its peer has not taken the one before.
 */
static bool tell(struct control_call *call)
{
    struct control_service *const service = call->service;
    if (call->told == service->sequence)
        return false;
    if (is_expired(call->identity_ends_unix_s)) {
        finish(call, GRPC_STATUS_PERMISSION_DENIED, "the identity of this watch is expired");
        return false;
    }
    if (rpc_call_queued_bytes(call->call) > 0)
        return true;
    const enum status status = rpc_call_send(call->call, bytes_slice(&service->newest));
    if (status == STATUS_AGAIN)
        return true;
    if (status == STATUS_OK)
        call->told = service->sequence;
    else if (status != STATUS_CANCELLED)
        finish(call, grpc_status_of(status), status_text(status));
    return false;
}

static void on_timer(uv_timer_t *timer);

static void tell_in(struct control_service *service, uint64_t wait_ms)
{
    if (!uv_is_active((uv_handle_t *)&service->timer))
        (void)uv_timer_start(&service->timer, on_timer, wait_ms, 0);
}

static bool is_watching(const struct control_call *call)
{
    return call->method->is_watch && call->has_request && !call->is_over;
}

static void on_timer(uv_timer_t *timer)
{
    struct control_service *const service = timer->data;
    bool waits = false;
    service->told_ms = uv_now(timer->loop);
    if (refresh(service) != STATUS_OK)
        return; /* no memory now; the next change tries again */
    for (struct control_call *call = service->calls; call != nullptr; call = call->next) {
        if (is_watching(call))
            waits = tell(call) || waits;
    }
    if (waits)
        tell_in(service, service->watch_interval_ms);
}

/* At once after a quiet time, else when the interval since the last time is over. */
static void tell_soon(struct control_service *service)
{
    const uint64_t due_ms = service->told_ms + service->watch_interval_ms;
    const uint64_t now_ms = uv_now(service->timer.loop);
    if (service->watch_count > 0)
        tell_in(service, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void answer_watch(struct control_call *call, const struct control_request *request)
{
    const enum status status = refresh(call->service);
    if (status != STATUS_OK)
        finish(call, GRPC_STATUS_INTERNAL, status_text(status));
    else
        (void)tell(call); /* nothing waits in a new call */
}

/* --- members --- */

static void answer_list(struct control_call *call, const struct control_request *request)
{
    const struct control_service *const service = call->service;
    struct bytes page;
    bytes_init(&page, CONTROL_PAGE_BYTES_MAX);
    const enum status status = control_members_page(service->ops, service->context, request, &page);
    if (status == STATUS_OK)
        reply(call, &page);
    else
        finish(call, grpc_status_of(status), status_text(status));
    bytes_deinit(&page);
}

static void answer_get(struct control_call *call, const struct control_request *request)
{
    const struct control_service *const service = call->service;
    struct error err = {0};
    struct bytes message;
    bytes_init(&message, CONTROL_MEMBER_BYTES_MAX);
    const enum status status =
        control_members_get(service->ops, service->context, request->name, &message, &err);
    if (status == STATUS_OK)
        reply(call, &message);
    else if (status == STATUS_EXISTS)
        finish(call, GRPC_STATUS_FAILED_PRECONDITION, err.text);
    else
        finish_with(call, status, &err);
    bytes_deinit(&message);
}

/* --- actions --- */

/* Answers an action that is done, or will not be. */
static void look_at_action(struct control_call *call)
{
    const struct control_service *const service = call->service;
    struct error err = {0};
    const enum status status = service->ops->done(service->context, call->method->action, &err);
    if (status == STATUS_OK)
        answer_status(call, nullptr);
    else if (status != STATUS_AGAIN)
        finish(call, GRPC_STATUS_FAILED_PRECONDITION, err.text);
}

static void answer_action(struct control_call *call, const struct control_request *request)
{
    const struct control_service *const service = call->service;
    struct error err = {0};
    const enum status status =
        service->ops->act(service->context, call->method->action, call->operator_id, &err);
    call->is_acting = status == STATUS_OK;
    if (status == STATUS_OK)
        look_at_action(call);
    else
        finish(call, GRPC_STATUS_FAILED_PRECONDITION, err.text);
}

void control_service_changed(struct control_service *service)
{
    if (service->is_draining)
        return;
    for (struct control_call *call = service->calls; call != nullptr; call = call->next) {
        if (call->is_acting && !call->is_over)
            look_at_action(call);
    }
    tell_soon(service);
}

/* --- calls --- */

static enum status check_job(struct control_service *service, const char *job, struct error *err)
{
    struct control_status now;
    service->ops->status(service->context, &now);
    if (job[0] == 0 || strcmp(job, now.job) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_INVAL, "this coordinator runs the job %s, not %s", now.job, job);
}

static void on_message(struct rpc_call *rpc, struct slice message)
{
    struct control_call *const call = rpc_call_get_user(rpc);
    struct control_request request;
    struct error err = {0};
    if (call->has_request) {
        call->is_over = true;
        rpc_call_cancel(rpc, GRPC_STATUS_INVALID_ARGUMENT, "more than one request");
        return;
    }
    watch_remove(&call->service->watch, &call->watched);
    const enum status status = control_request_decode(call->method->kind, message, &request, &err);
    if (status != STATUS_OK) {
        finish_with(call, status, &err);
        return;
    }
    if (check_job(call->service, request.job, &err) != STATUS_OK) {
        finish(call, GRPC_STATUS_FAILED_PRECONDITION, err.text);
        return;
    }
    call->has_request = true;
    call->method->answer(call, &request);
}

static void on_half_close(struct rpc_call *rpc)
{
    struct control_call *const call = rpc_call_get_user(rpc);
    if (!call->has_request && !call->is_over)
        finish(call, GRPC_STATUS_INVALID_ARGUMENT, "there is no request");
}

static void on_writable(struct rpc_call *rpc)
{
    const struct control_call *const call = rpc_call_get_user(rpc);
    if (is_watching(call))
        tell_soon(call->service);
}

static void on_closed(struct rpc_call *rpc, enum grpc_status code, const char *message)
{
    struct control_call *const call = rpc_call_get_user(rpc);
    if (call == nullptr)
        return;
    struct control_service *const service = call->service;
    if (call->previous != nullptr)
        call->previous->next = call->next;
    else
        service->calls = call->next;
    if (call->next != nullptr)
        call->next->previous = call->previous;
    service->call_count--;
    service->watch_count -= call->method->is_watch;
    watch_remove(&service->watch, &call->watched);
    free(call);
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static void on_stalled(struct watched *watched)
{
    struct control_call *const call = (struct control_call *)watched; /* its first member */
    call->is_over = true;
    rpc_call_cancel(call->call, GRPC_STATUS_DEADLINE_EXCEEDED, "the request did not come");
}

/* Whether the peer of a call may make it; says who it is, as far as that is known. */
static enum status check_peer(const struct control_service *service, struct rpc_call *rpc,
                              const struct method *method, struct peer_identity *ret_peer,
                              struct error *err)
{
    struct peer_identity peer;
    enum status status = identity_peer(rpc_call_ssl(rpc), &peer, err);
    if (status != STATUS_OK)
        return status;
    *ret_peer = peer;
    if (is_expired(peer.not_after_unix_s))
        return error_set(err, STATUS_PERMISSION,
                         "the identity %s is expired; connect with a new one", peer.id.text);
    if (peer.id.role == SPIFFE_ROLE_OPERATOR &&
        strcmp(peer.id.trust_domain, service->trust_domain) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_PERMISSION,
                     "%s may not call " CONTROL_SERVICE
                     "/%s; right is an operator: spiffe://%s/fedra/operator/NAME",
                     peer.id.text, method->name, service->trust_domain);
}

static void on_open(struct rpc_call *rpc, void *context)
{
    const struct served *const served = context;
    struct control_service *const service = served->service;
    struct peer_identity peer = {0};
    struct error err = {0};
    const enum status status = check_peer(service, rpc, served->method, &peer, &err);
    if (status != STATUS_OK) {
        (void)!rpc_call_finish(rpc, GRPC_STATUS_PERMISSION_DENIED, err.text);
        service->ops->refused(service->context, peer.id.text, err.text);
        return;
    }
    if (service->is_draining) {
        (void)!rpc_call_finish(rpc, GRPC_STATUS_UNAVAILABLE, "the coordinator is ending");
        return;
    }
    const bool is_full = service->call_count >= CONTROL_CALLS_MAX ||
                         (served->method->is_watch && service->watch_count >= CONTROL_WATCHES_MAX);
    struct control_call *const call = is_full ? nullptr : calloc(1, sizeof(*call));
    if (call == nullptr) {
        (void)!rpc_call_finish(rpc, GRPC_STATUS_RESOURCE_EXHAUSTED,
                               is_full ? "too many calls of operators at once" : "out of memory");
        return;
    }
    call->service = service;
    call->call = rpc;
    call->method = served->method;
    call->identity_ends_unix_s = peer.not_after_unix_s;
    memcpy(call->operator_id, peer.id.text, sizeof(call->operator_id));
    call->next = service->calls;
    if (service->calls != nullptr)
        service->calls->previous = call;
    service->calls = call;
    service->call_count++;
    service->watch_count += call->method->is_watch;
    rpc_call_set_user(rpc, call);
    watch_touch(&service->watch, &call->watched);
}

/* --- beginning and end --- */

static enum status add_methods(struct control_service *service, struct rpc_server *server)
{
    for (size_t i = 0; i < METHODS; i++) {
        char path[64];
        service->served[i] = (struct served){service, &methods[i]};
        const struct rpc_method method = {&call_handlers, on_open, &service->served[i]};
        (void)snprintf(path, sizeof(path), "/" CONTROL_SERVICE "/%s", methods[i].name);
        const enum status status = rpc_server_add_method(server, path, &method);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status control_service_open(uv_loop_t *loop, struct rpc_server *server, struct health *health,
                                 const struct control_service_options *options,
                                 const struct control_ops *ops, void *context,
                                 struct control_service **ret_service)
{
    struct control_service *const service = calloc(1, sizeof(*service));
    if (service == nullptr)
        return STATUS_NO_MEMORY;
    service->ops = ops;
    service->context = context;
    service->watch_interval_ms =
        options->watch_interval_ms > 0 ? options->watch_interval_ms : CONTROL_WATCH_INTERVAL_MS;
    bytes_init(&service->settled, CONTROL_STATUS_BYTES_MAX);
    bytes_init(&service->newest, CONTROL_STATUS_BYTES_MAX);
    enum status status =
        text_copy(options->trust_domain, service->trust_domain, sizeof(service->trust_domain));
    if (status == STATUS_OK)
        status = add_methods(service, server);
    if (status == STATUS_OK)
        status = health_set(health, CONTROL_SERVICE, HEALTH_SERVING);
    if (status != STATUS_OK) {
        free(service);
        return status;
    }
    watch_init(&service->watch, loop,
               options->request_timeout_ms > 0 ? options->request_timeout_ms
                                               : CONTROL_REQUEST_TIMEOUT_MS,
               on_stalled, service);
    CHECK(uv_timer_init(loop, &service->timer) == 0);
    service->timer.data = service;
    *ret_service = service;
    return STATUS_OK;
}

void control_service_drain(struct control_service *service)
{
    if (service->is_draining)
        return;
    service->is_draining = true;
    const bool is_fresh = refresh(service) == STATUS_OK;
    for (struct control_call *call = service->calls; call != nullptr; call = call->next) {
        if (call->is_over)
            continue;
        /* The last status goes out behind what still waits. */
        if (is_watching(call) && is_fresh && call->told != service->sequence)
            (void)!rpc_call_send(call->call, bytes_slice(&service->newest));
        if (is_watching(call))
            finish(call, GRPC_STATUS_OK, nullptr);
        else
            finish(call, GRPC_STATUS_UNAVAILABLE, "the coordinator is ending");
    }
    uv_close((uv_handle_t *)&service->timer, nullptr);
    uv_close((uv_handle_t *)&service->watch.timer, nullptr);
}

void control_service_destroy(struct control_service *service)
{
    if (service == nullptr)
        return;
    CHECK(service->calls == nullptr);
    bytes_deinit(&service->settled);
    bytes_deinit(&service->newest);
    free(service);
}
