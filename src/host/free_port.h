/*
 * free_port.h - a TCP port of this machine that a process can listen on, also when it is started
 * again.
 */
#pragma once

#include "base/status.h"

#include <stdint.h>

/*
 * Picks a port that is free on 127.0.0.1 now, below those that the kernel gives to outgoing
 * connections (where such a range is known and leaves room): none of them can take the port while
 * its owner is down, nor connect to itself. IO.
 */
[[nodiscard]] enum status free_port_pick(uint16_t *ret_port, struct error *err);
