/*
 * authority_server.h - the local authority as a process: fedra.v1.Authority over mutual TLS.
 */
#pragma once

#include "base/status.h"

#include <stdint.h>

/*
 * Serves until SIGINT or SIGTERM.
 *
 * dir       the authority's folder.
 * identity  the folder of the identity that it shows, of the role authority; kept fresh.
 * keep      a folder of folders of identities that are renewed when nobody else does; or null.
 * address   numeric; port 0: any free one, said on standard output.
 *
 * Gives the exit code: 0, or 1 for a fault, whose text is on standard error.
 */
int authority_server_run(const char *dir, const char *identity, const char *keep,
                         const char *address, uint16_t port);
