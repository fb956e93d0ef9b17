/*
 * node_connection.c - a node's connections to its coordinator: the one in use, the one that is to
 * replace it, and those that were replaced and complete what is under way on them.
 *
 * Make before break: where the identity was renewed, or the coordinator's certificate nears its
 * end, a second connection is made while the first goes on; its Welcome makes the switch, and the
 * coordinator ends the older Join. Not here: what comes over a connection (node_link.c).
 */
#include "host/node_host_internal.h"

#include "base/check.h"
#include "identity/renewal.h"
#include "mesh/mesh_direct.h"

#include <stdlib.h>
#include <string.h>

enum {
    REDIAL_MIN_MS = 250, /* between two attempts to replace a connection */
    CHECK_MIN_MS = 20,
};

static int64_t now_ms(void)
{
    return (int64_t)clock_unix_ms();
}

static void check_later(struct node_host *host);

/* --- how long a connection is good --- */

/*
 * Notes when this connection is to be replaced because of the coordinator's certificate: in the
 * last quarter of its life, when the coordinator shows a new one; where it did not when this one
 * was made, half way to the end.
 */
static void note_hub_certificate(struct node_link *link, const struct peer_identity *peer)
{
    const int64_t now = now_ms();
    const int64_t end = peer->not_after_unix_s * 1000;
    const int64_t begin =
        renewal_life_begin_s(peer->not_before_unix_s, peer->not_after_unix_s) * 1000;
    const int64_t quarter = (end - begin) / 4;
    link->replace_ms = end - quarter > now ? end - quarter : now + (end - now) / 2;
    link->end_ms = end;
}

static enum status identify(void *context, SSL *ssl, struct mesh_peer *ret_peer, struct error *err)
{
    struct node_link *const link = context;
    struct peer_identity peer;
    enum status status = identity_peer(ssl, &peer, err);
    if (status == STATUS_OK)
        status = spiffe_role_check(&peer.id, SPIFFE_ROLE_COORDINATOR, "Join", err);
    if (status != STATUS_OK)
        return status;
    memcpy(ret_peer->name, peer.id.text, sizeof(peer.id.text));
    ret_peer->until_unix_s = peer.not_after_unix_s;
    note_hub_certificate(link, &peer);
    return STATUS_OK;
}

/* --- one connection --- */

static void on_leaf_closed(void *context)
{
    struct node_link *const link = context;
    struct node_host *const host = link->host;
    credentials_unref(link->credentials);
    free(link);
    CHECK(host->link_count > 0);
    host->link_count--;
    node_host_close_if_idle(host);
}

static void close_link(struct node_link *link)
{
    struct node_host *const host = link->host;
    struct node_link **place = &host->links;
    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    link->is_closing = true;
    leaf_close(link->leaf, on_leaf_closed);
}

static enum status join(struct node_link *link, struct error *err)
{
    const struct node_host *const host = link->host;
    const struct credentials *const credentials = link->credentials;
    const struct kept_update *const kept = &host->machine.kept;
    struct join_request request = {.epoch_seen = host->machine.epoch_seen,
                                   .chain = credentials->chain};
    memcpy(request.spiffe_id, credentials->identity->svid.id.text, sizeof(request.spiffe_id));
    memcpy(request.job, host->config->job.name, sizeof(host->config->job.name));
    request.has_held = node_awaits_settlement(&host->machine);
    request.held_state = kept->state == UPDATE_ACCEPTED ? HELD_ACCEPTED : HELD_UNSENT;
    request.held = (struct update_ref){.attempt = kept->key.attempt,
                                       .epoch = kept->key.epoch,
                                       .round = kept->key.round,
                                       .payload_digest = kept->key.payload_digest};
    return leaf_join(link->leaf, &request, err);
}

/* Dials with the newest credentials and asks to join. */
static enum status open_link(struct node_host *host, struct node_link **ret_link, struct error *err)
{
    const struct config *const config = host->config;
    char address[CONFIG_ADDRESS_MAX];
    memcpy(address, config->node.connect, sizeof(address));
    char *const colon = strrchr(address, ':');
    CHECK(colon != nullptr); /* the configuration check saw to it */
    *colon = 0;
    const struct leaf_direct_options options = {
        .host = address,
        .port = (uint16_t)strtoul(colon + 1, nullptr, 10),
        .tls = host->credentials->tls,
        .identify = identify,
        .message_bytes_max = config->limits.message_bytes_max,
        .keepalive_ms = (uint32_t)(config->limits.heartbeat_s * 1000),
    };
    struct node_link *const link = calloc(1, sizeof(*link));
    if (link == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "%s", status_text(STATUS_NO_MEMORY));
    link->host = host;
    link->end_ms = INT64_MAX;
    link->replace_ms = INT64_MAX;
    const enum status made = leaf_direct_create(&host->group->loop, &options, &node_link_handlers,
                                                link, &link->leaf, err);
    if (made != STATUS_OK) {
        free(link);
        return made;
    }
    link->credentials = credentials_ref(host->credentials);
    link->next = host->links;
    host->links = link;
    host->link_count++;
    const enum status status = join(link, err);
    if (status == STATUS_OK)
        *ret_link = link;
    else
        close_link(link);
    return status;
}

/* --- the one in use --- */

void node_connection_open(struct node_host *host)
{
    struct error err = {0};
    if (host->link != nullptr) /* the one that was to replace the lost one */
        return;
    const enum status status = open_link(host, &host->link, &err);
    if (status == STATUS_OK)
        return;
    log_event(host->log, LOG_WARN, "join.failed", LOG_STATUS(status), LOG_STR("text", err.text));
    node_link_fail_later(host, NODE_EV_LOST, 0, status);
}

void node_connection_welcomed(struct node_link *link)
{
    struct node_host *const host = link->host;
    link->is_welcome = true;
    if (link == host->link_next) {
        log_event(host->log, LOG_INFO, "connection.replaced",
                  LOG_BOOL("renewed", link->credentials != host->link->credentials),
                  LOG_I64("ends_in_ms", link->end_ms - now_ms()));
        leaf_retire(host->link->leaf);
        host->link = link;
        host->link_next = nullptr;
        host->redial_failures = 0;
    }
    check_later(host);
}

void node_connection_lost(struct node_link *link)
{
    struct node_host *const host = link->host;
    if (link->is_closing)
        return;
    const bool in_use = link == host->link;
    if (in_use) {
        host->link = host->link_next;
        host->link_next = nullptr;
    } else if (link == host->link_next) {
        host->link_next = nullptr;
        host->redial_failures++;
    }
    close_link(link);
    check_later(host);
    struct node_event event = {.kind = NODE_EV_LOST};
    if (in_use)
        node_host_step(host, &event);
}

struct credentials *node_connection_credentials(const struct node_host *host)
{
    const struct node_link *const link = host->link;
    return link != nullptr && link->is_welcome ? link->credentials : host->credentials;
}

void node_connection_cancel(struct node_host *host, uint64_t transfer)
{
    for (struct node_link *link = host->links; link != nullptr; link = link->next)
        leaf_cancel(link->leaf, transfer);
}

void node_connection_close(struct node_host *host)
{
    host->link = nullptr;
    host->link_next = nullptr;
    while (host->links != nullptr)
        close_link(host->links);
}

/* --- replacing it --- */

/* Since when a replacement is wanted, and when it can wait no longer for a quiet instant. */
static bool replacement_is_wanted(const struct node_host *host, int64_t now, int64_t *ret_force_ms)
{
    const struct node_link *const link = host->link;
    const int64_t own_end = link->credentials->identity->svid.not_after_unix_s * 1000;
    int64_t force = INT64_MAX;
    if (link->credentials != host->credentials)
        force = host->renewed_ms + (own_end - host->renewed_ms) / 2;
    if (now >= link->replace_ms) {
        const int64_t half = link->replace_ms + (link->end_ms - link->replace_ms) / 2;
        force = half < force ? half : force;
    }
    *ret_force_ms = force;
    return force != INT64_MAX;
}

/* A new Join makes the coordinator forget what the node is at: best while it is at nothing. */
static bool is_quiet(const struct node_host *host)
{
    return host->machine.work == WORK_NONE && host->pull_id == 0 && host->push_id == 0;
}

static void on_check(uv_timer_t *timer)
{
    node_connection_check(timer->data);
}

static void check_in(struct node_host *host, int64_t wait_ms)
{
    const int64_t day_ms = INT64_C(86400000);
    if (wait_ms > day_ms)
        wait_ms = day_ms;
    uv_update_time(&host->group->loop);
    uv_timer_start(&host->check_timer, on_check,
                   (uint64_t)(wait_ms > CHECK_MIN_MS ? wait_ms : CHECK_MIN_MS), 0);
}

static void check_later(struct node_host *host)
{
    if (!host->leaving)
        check_in(host, 0);
}

static void redial(struct node_host *host, int64_t now)
{
    struct error err = {0};
    const enum status status = open_link(host, &host->link_next, &err);
    const uint32_t doublings = host->redial_failures < 5 ? host->redial_failures : 5;
    host->redial_ms = now + ((int64_t)REDIAL_MIN_MS << doublings);
    if (status == STATUS_OK)
        return;
    host->redial_failures++;
    log_event(host->log, LOG_WARN, "join.failed", LOG_STATUS(status), LOG_STR("text", err.text));
    check_in(host, host->redial_ms - now);
}

void node_connection_check(struct node_host *host)
{
    if (host->leaving || host->link == nullptr || !host->link->is_welcome ||
        host->link_next != nullptr)
        return;
    const int64_t now = now_ms();
    int64_t force = 0;
    host->awaits_quiet = false;
    if (!replacement_is_wanted(host, now, &force)) {
        check_in(host, host->link->replace_ms - now);
    } else if (now < host->redial_ms) {
        check_in(host, host->redial_ms - now);
    } else if (now >= force || is_quiet(host)) {
        redial(host, now);
    } else {
        host->awaits_quiet = true;
        check_in(host, force - now);
    }
}

/* --- who the node is --- */

static void on_renewed(void *context, struct identity *identity)
{
    struct node_host *const host = context;
    struct credentials *fresh = nullptr;
    struct error err = {0};
    if (host->leaving)
        return;
    const enum status status =
        credentials_create(identity, false, SPIFFE_ROLE_COORDINATOR, &fresh, &err);
    if (status != STATUS_OK) { /* the one in use is valid for a while; then this is tried again */
        log_event(host->log, LOG_ERROR, "identity.not_used", LOG_STATUS(status),
                  LOG_STR("text", err.text));
        return;
    }
    credentials_unref(host->credentials);
    host->credentials = fresh;
    host->renewed_ms = now_ms();
    host->redial_failures = 0;
    host->redial_ms = 0;
    keyring_set_trust(host->keyring, identity->trust);
    check_later(host);
}

enum status node_identity_open(struct node_host *host, struct error *err)
{
    enum { KEYS_MAX = 64 }; /* coordinators' keys that are valid at once */
    struct identity *identity = nullptr;
    enum status status =
        identity_open(host->config->identity.directory, clock_unix_s(), &identity, err);
    if (status == STATUS_OK)
        status = spiffe_role_check(&identity->svid.id, SPIFFE_ROLE_NODE, "fedra node", err);
    if (status == STATUS_OK)
        status =
            credentials_create(identity, false, SPIFFE_ROLE_COORDINATOR, &host->credentials, err);
    if (status == STATUS_OK)
        status = keyring_create(identity->trust, KEYS_MAX, &host->keyring, err);
    if (status == STATUS_OK)
        host->verifier = keyring_verifier(host->keyring);
    identity_close(identity);
    return status;
}

enum status node_identity_watch(struct node_host *host)
{
    const struct config *const config = host->config;
    const struct identity_renewer_options options = {
        .who = "fedra node",
        .dir = config->identity.directory,
        .authority = config->identity.authority,
        .ttl_s = (uint32_t)config->identity.ttl_s,
        .seed = trainer_node_key(config->node.name) ^ clock_boot_ns(),
        .log = host->log,
        .worker = host->disk,
    };
    return identity_renewer_open(&host->group->loop, &options, host->credentials->identity,
                                 on_renewed, host, &host->renewer);
}
