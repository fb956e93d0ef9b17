/*
 * job_settings.h - the settings of the core's and learn's machines as a configuration gives them:
 * one translation for the coordinator (coordinator_host.c) and the simulator (sim/).
 */
#pragma once

#include "core/coordinator.h"
#include "host/config.h"
#include "learn/server_optimiser.h"

struct coordinator_settings job_machine_settings(const struct config *config);
struct server_optimiser job_optimiser(const struct config *config);
