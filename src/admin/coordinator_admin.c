/*
 * coordinator_admin.c - the control service over a running coordinator.
 */
#include "admin/coordinator_admin.h"

#include "admin/control_service.h"

static void get_status(void *context, struct control_status *ret_status)
{
    coordinator_control_status(context, ret_status);
}

static uint32_t get_member_count(void *context)
{
    return coordinator_control_member_count(context);
}

static const char *get_member_name(void *context, uint32_t at)
{
    return coordinator_control_member_name(context, at);
}

static void get_member(void *context, uint32_t at, struct control_member *ret_member)
{
    coordinator_control_member(context, at, ret_member);
}

static enum status act(void *context, enum control_action action, const char *operator_id,
                       struct error *err)
{
    return coordinator_control_act(context, action, operator_id, err);
}

static enum status is_done(void *context, enum control_action action, struct error *err)
{
    return coordinator_control_done(context, action, err);
}

static void refused(void *context, const char *peer, const char *text)
{
    coordinator_control_refused(context, peer, text);
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

static enum status open_service(struct coordinator_host *host, uv_loop_t *loop,
                                struct rpc_server *server, struct health *health, void **ret_state,
                                struct error *err)
{
    const struct control_service_options options = {.trust_domain =
                                                        coordinator_control_trust_domain(host)};
    struct control_service *service = nullptr;
    const enum status status =
        control_service_open(loop, server, health, &options, &ops, host, &service);
    if (status != STATUS_OK)
        return error_set(err, status, CONTROL_SERVICE ": %s", status_text(status));
    *ret_state = service;
    return STATUS_OK;
}

static void changed(void *state)
{
    control_service_changed(state);
}

static void drain_service(void *state)
{
    control_service_drain(state);
}

static void close_service(void *state)
{
    control_service_destroy(state);
}

const struct coordinator_extension coordinator_admin = {
    .open = open_service,
    .changed = changed,
    .drain = drain_service,
    .close = close_service,
};
