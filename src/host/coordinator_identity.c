/*
 * coordinator_identity.c - who the coordinator is, and how it takes up a renewed identity.
 *
 * New connections see the new certificate at once. Who is connected gets the new signing key by a
 * Welcome before anything that is signed with it; what was signed before stays as it is.
 */
#include "host/coordinator_host_internal.h"

#include "host/identity_renewer.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS_PER_MEMBER = 4 }; /* room in the keyring: present, next, one expired, one to spare */

static void on_renewed(void *context, struct identity *identity)
{
    struct coordinator_host *const host = context;
    struct credentials *fresh = nullptr;
    struct error err = {0};
    if (host->draining)
        return;
    const enum status status = credentials_create(identity, true, SPIFFE_ROLES_FEDRA, &fresh, &err);
    if (status != STATUS_OK) { /* the one in use is valid for a while; then this is tried again */
        log_event(host->log, LOG_ERROR, "identity.not_used", LOG_STATUS(status),
                  LOG_STR("text", err.text));
        return;
    }
    credentials_unref(host->credentials);
    host->credentials = fresh;
    keyring_set_trust(host->keyring, identity->trust);
    if (host->hub != nullptr)
        hub_direct_set_tls(host->hub, fresh->tls);
    directives_key_is_new(host);
}

enum status coordinator_identity_open(struct coordinator_host *host, struct error *err)
{
    const struct config *const config = host->config;
    struct identity *identity = nullptr;
    enum status status = identity_open(config->identity.directory, clock_unix_s(), &identity, err);
    if (status == STATUS_OK)
        status = spiffe_role_check(&identity->svid.id, SPIFFE_ROLE_COORDINATOR, "fedra coordinator",
                                   err);
    if (status == STATUS_OK)
        status = credentials_create(identity, true, SPIFFE_ROLES_FEDRA, &host->credentials, err);
    if (status == STATUS_OK)
        status = keyring_create(identity->trust, (size_t)config->limits.nodes_max * KEYS_PER_MEMBER,
                                &host->keyring, err);
    if (status == STATUS_OK) {
        host->verifier = keyring_verifier(host->keyring);
        host->id = identity->svid.id;
    }
    identity_close(identity);
    return status;
}

enum status coordinator_identity_watch(struct coordinator_host *host)
{
    const struct config *const config = host->config;
    const struct identity_renewer_options options = {
        .who = "fedra coordinator",
        .dir = config->identity.directory,
        .authority = config->identity.authority,
        .ttl_s = (uint32_t)config->identity.ttl_s,
        .seed = load_u64le(host->instance_id),
        .log = host->log,
        .worker = host->disk,
    };
    return identity_renewer_open(&host->loop, &options, host->credentials->identity, on_renewed,
                                 host, &host->renewer);
}

static void on_renewer_closed(void *context)
{
    struct coordinator_host *const host = context;
    host->renewer = nullptr;
}

void coordinator_identity_unwatch(struct coordinator_host *host)
{
    if (host->renewer == nullptr)
        return;
    identity_renewer_close(host->renewer, on_renewer_closed);
    while (host->renewer != nullptr)
        uv_run(&host->loop, UV_RUN_ONCE);
}
