/*
 * coordinator_admin.h - what operators get of a running coordinator: its control service.
 */
#pragma once

#include "host/coordinator_control.h"

/* For coordinator_host_run. */
extern const struct coordinator_extension coordinator_admin;
