/*
 * health.h - the service grpc.health.v1.Health (Check and Watch) on an rpc_server.
 *
 * What is healthy is for the owner to say.
 */
#pragma once

#include "base/status.h"
#include "rpc/rpc_server.h"

/* The values of grpc.health.v1.HealthCheckResponse.ServingStatus. */
enum health_status {
    HEALTH_UNKNOWN = 0,
    HEALTH_SERVING = 1,
    HEALTH_NOT_SERVING = 2,
    HEALTH_SERVICE_UNKNOWN = 3, /* Watch only, by this module */
};

enum {
    HEALTH_SERVICES_MAX = 32,
    HEALTH_NAME_MAX = 128,      /* bytes of a service's name, with its zero */
    HEALTH_WATCHERS_MAX = 1024, /* Watch calls at once; further ones: RESOURCE_EXHAUSTED */
};

struct health;

/* A health service without services. NO_MEMORY. Destroy it after the server is gone. */
[[nodiscard]] enum status health_create(struct health **ret_health);
void health_destroy(struct health *health);

/* Adds Check and Watch to a server that lives shorter. As rpc_server_add_method. */
[[nodiscard]] enum status health_register(struct health *health, struct rpc_server *server);

/*
 * Sets a service's status ("" is the server as a whole) and tells its watchers. LIMIT: too many
 * services or too long a name. status is UNKNOWN, SERVING or NOT_SERVING.
 */
[[nodiscard]] enum status health_set(struct health *health, const char *service,
                                     enum health_status status);

/* The process ends: every service that is known is NOT_SERVING from now on. */
void health_stop(struct health *health);
