/*
 * run_setup_test.c - the folder of a run: who finds whom, also after restarts.
 */
#include "testing.h"

#include "host/free_port.h"
#include "host/run_setup.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NODES = 3 };

static char folder[] = "/tmp/fedra-run-setup-XXXXXX";

static void load(const char *name, struct config *ret_config)
{
    char path[256];
    struct config_report report;
    config_report_init(&report);
    snprintf(path, sizeof(path), "%s/run/config/%s.yaml", folder, name);
    assert_int_equal(config_load(path, nullptr, 0, &report, ret_config), STATUS_OK);
    config_report_deinit(&report);
}

/* Goal: coordinator and authority keep their addresses when they are started again, and every
 * process knows the authority's. Method: the configurations are read back. */
static void everybody_knows_the_one_port_of_the_authority(void **state)
{
    static const char *const names[] = {"coordinator", "node-000", "node-001", "node-002"};
    const struct run_shape shape = {.nodes = NODES, .per_process = 1};
    struct error err = {0};
    char path[256];
    struct config *const config = calloc(1, sizeof(*config));
    struct config *const own = calloc(1, sizeof(*own));
    config_defaults(config);
    snprintf(config->job.name, sizeof(config->job.name), "setup");
    snprintf(config->server.listen, sizeof(config->server.listen), "127.0.0.1:0");
    snprintf(config->identity.authority, sizeof(config->identity.authority), "elsewhere:7434");
    config->model.kind = CONFIG_MODEL_FLAT;
    config->model.parameters = 10;
    config->train.trainer = CONFIG_TRAINER_FIXED;
    config->data.parts = NODES;
    snprintf(path, sizeof(path), "%s/run", folder);
    if (run_setup(path, config, &shape, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(strncmp(config->identity.authority, "127.0.0.1:", 10), 0);
    assert_string_not_equal(config->identity.authority, config->server.listen);
    assert_int_not_equal(strtoul(config->identity.authority + 10, nullptr, 10), 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        load(names[i], own);
        assert_string_equal(own->identity.authority, config->identity.authority);
        assert_string_equal(i == 0 ? own->server.listen : own->node.connect, config->server.listen);
    }
    free(config);
    free(own);
}

static void a_picked_port_is_free_and_no_outgoing_connection_takes_it(void **state)
{
    char line[32] = "";
    FILE *const file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    if (file != nullptr)
        assert_non_null(fgets(line, sizeof(line), file));
    unsigned long first = strtoul(line, nullptr, 10);
    if (first < 11000) /* unknown, or without room below */
        first = UINT16_MAX + 1;
    if (file != nullptr)
        fclose(file);
    for (int i = 0; i < 50; i++) {
        struct error err = {0};
        uint16_t port = 0;
        assert_int_equal(free_port_pick(&port, &err), STATUS_OK);
        assert_true(port >= 1024 && port < first);
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = htons(port),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
    }
}

static int make_folder(void **state)
{
    return mkdtemp(folder) == nullptr;
}

static int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_knows_the_one_port_of_the_authority),
        cmocka_unit_test(a_picked_port_is_free_and_no_outgoing_connection_takes_it),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
