/*
 * free_port.c - tries ports at random until one can be bound.
 */
#include "host/free_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PORT_LOWEST = 10000, /* below are the well-known services */
    PORTS_MIN = 1000,    /* fewer are no choice */
    TRIES = 100,
};

/* The first port of outgoing connections, ip(7); 0 where it is not known. */
static uint32_t first_ephemeral(void)
{
    char line[32] = "";
    FILE *const file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (file == nullptr)
        return 0;
    const bool read = fgets(line, sizeof(line), file) != nullptr;
    fclose(file);
    const unsigned long first = read ? strtoul(line, nullptr, 10) : 0;
    return first <= UINT16_MAX ? (uint32_t)first : 0;
}

/* Binds port (0: any) and lets go of it. Gives errno, or 0 and the port. */
static int try_port(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int number = fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 &&
                         getsockname(fd, (struct sockaddr *)&address, &size) == 0
                     ? 0
                     : errno;
    if (fd >= 0)
        close(fd);
    if (number == 0)
        *ret_port = ntohs(address.sin_port);
    return number;
}

enum status free_port_pick(uint16_t *ret_port, struct error *err)
{
    const uint32_t end = first_ephemeral();
    for (int i = 0; i < TRIES && end >= PORT_LOWEST + PORTS_MIN; i++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            break;
        if (try_port((uint16_t)(PORT_LOWEST + random % (end - PORT_LOWEST)), ret_port) == 0)
            return STATUS_OK;
    }
    const int number = try_port(0, ret_port);
    if (number != 0)
        return error_set_errno(err, STATUS_IO, number, "no free port is to be had");
    return STATUS_OK;
}
