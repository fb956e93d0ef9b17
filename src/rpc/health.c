/*
 * health.c - Check and Watch of grpc.health.v1.Health, with the statuses the owner sets.
 *
 * The two messages have one field each and are read and written by hand:
 * HealthCheckRequest { string service = 1; }, HealthCheckResponse { ServingStatus status = 1; }.
 */
#include "rpc/health.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct service {
    char name[HEALTH_NAME_MAX];
    enum health_status status;
};

/* A Check or Watch call. */
struct watcher {
    struct watcher *next;
    struct watcher *previous;
    struct health *health;
    struct rpc_call *call;
    bool is_watch;
    bool has_request;
    int told; /* the status sent last, -1 before */
    char name[HEALTH_NAME_MAX];
};

struct health {
    struct service services[HEALTH_SERVICES_MAX];
    size_t service_count;
    struct watcher *watchers;
    size_t watcher_count;
};

enum status health_create(struct health **ret_health)
{
    struct health *const health = calloc(1, sizeof(*health));
    if (health == nullptr)
        return STATUS_NO_MEMORY;
    *ret_health = health;
    return STATUS_OK;
}

void health_destroy(struct health *health)
{
    if (health == nullptr)
        return;
    CHECK(health->watchers == nullptr);
    free(health);
}

static struct service *find_service(struct health *health, const char *name)
{
    for (size_t i = 0; i < health->service_count; i++)
        if (strcmp(health->services[i].name, name) == 0)
            return &health->services[i];
    return nullptr;
}

/* A varint of at most 10 bytes. PEER where it does not end within them. */
static enum status take_varint(struct slice *input, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && input->size > 0; shift += 7) {
        const uint8_t byte = *input->data++;
        input->size--;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return STATUS_OK;
        }
    }
    return STATUS_PEER;
}

/* Reads HealthCheckRequest.service; unknown fields are skipped, as protobuf asks. */
static enum status read_service(struct slice input, char ret_name[static HEALTH_NAME_MAX])
{
    enum { SERVICE = 1, VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5 };
    char name[HEALTH_NAME_MAX] = "";
    while (input.size > 0) {
        uint64_t key = 0;
        uint64_t size = 0;
        enum status status = take_varint(&input, &key);
        if (status != STATUS_OK)
            return status;
        const unsigned type = key & 7;
        if (type == FIXED64 || type == FIXED32)
            size = type == FIXED64 ? 8 : 4;
        else if (type == VARINT || type == DELIMITED)
            status = take_varint(&input, &size);
        else
            status = STATUS_PEER;
        if (status != STATUS_OK)
            return status;
        if (type == VARINT)
            continue;
        if (size > input.size)
            return STATUS_PEER;
        if (key >> 3 == SERVICE && type == DELIMITED) {
            if (size >= sizeof(name) || memchr(input.data, 0, size) != nullptr)
                return STATUS_LIMIT;
            memcpy(name, input.data, size);
            name[size] = '\0';
        }
        input.data += size;
        input.size -= size;
    }
    memcpy(ret_name, name, sizeof(name));
    return STATUS_OK;
}

static void tell(struct watcher *watcher, enum health_status status)
{
    if (watcher->told == (int)status)
        return;
    const uint8_t message[] = {0x08, (uint8_t)status}; /* field 1, varint */
    const size_t size = status == HEALTH_UNKNOWN ? 0 : sizeof(message);
    /* AGAIN: an older status is still queued; on_writable comes back here. */
    const enum status sent = rpc_call_send(watcher->call, (struct slice){message, size});
    if (sent == STATUS_OK)
        watcher->told = (int)status;
    else if (sent != STATUS_AGAIN)
        rpc_call_cancel(watcher->call, grpc_status_of(sent), status_text(sent));
}

static void answer(struct watcher *watcher)
{
    const struct service *const service = find_service(watcher->health, watcher->name);
    if (watcher->is_watch) {
        tell(watcher, service != nullptr ? service->status : HEALTH_SERVICE_UNKNOWN);
    } else if (service == nullptr) {
        (void)rpc_call_finish(watcher->call, GRPC_STATUS_NOT_FOUND, "unknown service");
    } else {
        tell(watcher, service->status);
        (void)rpc_call_finish(watcher->call, GRPC_STATUS_OK, nullptr);
    }
}

static void on_message(struct rpc_call *call, struct slice message)
{
    struct watcher *const watcher = rpc_call_get_user(call);
    if (watcher == nullptr)
        return;
    if (watcher->has_request) {
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "more than one request");
        return;
    }
    const enum status status = read_service(message, watcher->name);
    if (status == STATUS_LIMIT) {
        watcher->name[0] = '\x01'; /* no service has this name: it is an unknown one */
        watcher->name[1] = '\0';
    } else if (status != STATUS_OK) {
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "malformed HealthCheckRequest");
        return;
    }
    watcher->has_request = true;
    answer(watcher);
}

static void on_half_close(struct rpc_call *call)
{
    const struct watcher *const watcher = rpc_call_get_user(call);
    if (watcher != nullptr && !watcher->has_request)
        rpc_call_cancel(call, GRPC_STATUS_INVALID_ARGUMENT, "no request");
}

static void on_writable(struct rpc_call *call)
{
    struct watcher *const watcher = rpc_call_get_user(call);
    if (watcher != nullptr && watcher->is_watch)
        answer(watcher);
}

static void on_closed(struct rpc_call *call, enum grpc_status code, const char *message)
{
    struct watcher *const watcher = rpc_call_get_user(call);
    if (watcher == nullptr)
        return;
    struct health *const health = watcher->health;
    if (watcher->previous != nullptr)
        watcher->previous->next = watcher->next;
    else
        health->watchers = watcher->next;
    if (watcher->next != nullptr)
        watcher->next->previous = watcher->previous;
    health->watcher_count--;
    free(watcher);
}

static const struct rpc_call_handlers call_handlers = {
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

static void open_call(struct rpc_call *call, struct health *health, bool is_watch)
{
    if (health->watcher_count >= HEALTH_WATCHERS_MAX) {
        (void)rpc_call_finish(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many watchers");
        return;
    }
    struct watcher *const watcher = calloc(1, sizeof(*watcher));
    if (watcher == nullptr) {
        (void)rpc_call_finish(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    watcher->health = health;
    watcher->call = call;
    watcher->is_watch = is_watch;
    watcher->told = -1;
    watcher->next = health->watchers;
    if (health->watchers != nullptr)
        health->watchers->previous = watcher;
    health->watchers = watcher;
    health->watcher_count++;
    rpc_call_set_user(call, watcher);
}

static void open_check(struct rpc_call *call, void *context)
{
    open_call(call, context, false);
}

static void open_watch(struct rpc_call *call, void *context)
{
    open_call(call, context, true);
}

enum status health_register(struct health *health, struct rpc_server *server)
{
    const struct rpc_method check = {&call_handlers, open_check, health};
    const struct rpc_method watch = {&call_handlers, open_watch, health};
    const enum status status =
        rpc_server_add_method(server, "/grpc.health.v1.Health/Check", &check);
    if (status != STATUS_OK)
        return status;
    return rpc_server_add_method(server, "/grpc.health.v1.Health/Watch", &watch);
}

enum status health_set(struct health *health, const char *name, enum health_status status)
{
    CHECK(status <= HEALTH_NOT_SERVING);
    struct service *service = find_service(health, name);
    if (service == nullptr) {
        if (health->service_count == HEALTH_SERVICES_MAX || strlen(name) >= HEALTH_NAME_MAX)
            return STATUS_LIMIT;
        service = &health->services[health->service_count++];
        memcpy(service->name, name, strlen(name) + 1);
    }
    service->status = status;
    for (struct watcher *w = health->watchers; w != nullptr; w = w->next)
        if (w->is_watch && w->has_request && strcmp(w->name, name) == 0)
            tell(w, status);
    return STATUS_OK;
}

void health_stop(struct health *health)
{
    for (size_t i = 0; i < health->service_count; i++)
        (void)!health_set(health, health->services[i].name, HEALTH_NOT_SERVING);
}
