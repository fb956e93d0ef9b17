/*
 * ca_serve.c - `fedra ca serve`: the options of the authority's process.
 */
#include "cli/ca_serve.h"

#include "cli/options.h"
#include "host/authority_server.h"

#include <stdlib.h>
#include <string.h>

enum { ADDRESS_MAX = 64 };

/* Splits "127.0.0.1:7434". INVAL. */
static enum status split(const char *text, char ret_address[static ADDRESS_MAX], uint16_t *ret_port,
                         struct error *err)
{
    const char *const colon = strrchr(text, ':');
    char *end = nullptr;
    const unsigned long port = colon != nullptr ? strtoul(colon + 1, &end, 10) : 0;
    if (colon == nullptr || colon == text || end == colon + 1 || *end != 0 || port > 65535 ||
        colon - text >= ADDRESS_MAX)
        return error_set(err, STATUS_INVAL,
                         "--listen wants a numeric address and a port, 127.0.0.1:7434");
    memcpy(ret_address, text, (size_t)(colon - text));
    ret_address[colon - text] = 0;
    *ret_port = (uint16_t)port;
    return STATUS_OK;
}

int ca_serve(int argc, char **argv)
{
    const char *dir = nullptr;
    const char *identity = nullptr;
    const char *keep = nullptr;
    const char *listen = "127.0.0.1:7434";
    const struct option_spec specs[] = {
        {"dir", 'd', "DIR", "the authority's folder (`fedra ca init`)", .text = &dir},
        {"identity", 0, "DIR", "the identity it shows (`fedra ca issue --role authority`)",
         .text = &identity},
        {"keep", 0, "DIR",
         "a folder of identities' folders: each is made anew when four fifths of its life are gone "
         "and nobody has renewed it",
         .text = &keep},
        {"listen", 0, "ADDRESS:PORT", "where it listens [127.0.0.1:7434]; port 0: any free one",
         .text = &listen},
    };
    const struct option_table table = {
        .usage = "ca serve --dir DIR --identity DIR [--keep DIR] [--listen ADDRESS:PORT]",
        .help = "Serves fedra.v1.Authority over mutual TLS: an operator may have any identity of "
                "the trust domain certified, everybody its own anew. The identity that it shows it "
                "renews itself.",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
    };
    char address[ADDRESS_MAX];
    uint16_t port = 0;
    struct error err = {0};
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    if (dir == nullptr || identity == nullptr)
        error_set(&err, STATUS_INVAL, "--dir DIR and --identity DIR are needed");
    if (dir == nullptr || identity == nullptr || split(listen, address, &port, &err) != STATUS_OK) {
        fprintf(stderr, "fedra ca serve: %s; `fedra ca serve --help` tells more\n", err.text);
        return EXIT_USAGE;
    }
    return authority_server_run(dir, identity, keep, address, port);
}
