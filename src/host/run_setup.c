/*
 * run_setup.c - makes the folder of a run.
 *
 * The keys of every process are made here, since all processes run on this machine under one user.
 */
#include "host/run_setup.h"

#include "base/text.h"
#include "host/clock.h"
#include "host/fault_plan.h"
#include "host/free_port.h"
#include "host/run_data.h"
#include "host/run_record.h"
#include "identity/authority_identity.h"
#include "store/durable_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void run_node_name(uint32_t index, char *ret_name)
{
    snprintf(ret_name, CONFIG_NAME_MAX, "node-%03u", index);
}

void run_name_folder(const char *given, const char *job, const char *kind,
                     char ret_folder[static RUN_PATH_MAX])
{
    char stamp[32];
    struct tm now;
    const time_t seconds = (time_t)clock_unix_s();
    if (given != nullptr) {
        snprintf(ret_folder, RUN_PATH_MAX, "%s", given);
        return;
    }
    gmtime_r(&seconds, &now);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &now);
    snprintf(ret_folder, RUN_PATH_MAX, "runs/%s%s%s-%s", job, kind[0] != 0 ? "-" : "", kind, stamp);
}

static enum status make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return STATUS_OK;
    return error_set_errno(err, errno == ENOSPC ? STATUS_NO_SPACE : STATUS_IO, errno,
                           "the folder %s cannot be made", path);
}

static enum status make_parents(const char *folder, struct error *err)
{
    char path[RUN_PATH_MAX];
    enum status status = text_copy(folder, path, sizeof(path));
    if (status != STATUS_OK)
        return error_set(err, status, "the run's folder has too long a path");
    for (char *slash = strchr(path + 1, '/'); slash != nullptr && status == STATUS_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            status = error_set_errno(err, STATUS_IO, errno, "the folder %s cannot be made", path);
        *slash = '/';
    }
    return status;
}

static enum status check_empty(const char *folder, struct error *err)
{
    DIR *const dir = opendir(folder);
    if (dir == nullptr)
        return error_set_errno(err, STATUS_IO, errno, "%s", folder);
    uint32_t entries = 0;
    while (readdir(dir) != nullptr)
        entries++;
    closedir(dir);
    if (entries > 2)
        return error_set(err, STATUS_EXISTS,
                         "the run's folder %s is not empty; give a new one with --run-dir", folder);
    return STATUS_OK;
}

enum status run_make_folders(const char *folder, const char *const *names, size_t count,
                             struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    enum status status = make_parents(folder, err);
    if (status == STATUS_OK)
        status = make_folder(folder, err);
    if (status == STATUS_OK)
        status = check_empty(folder, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        status = make_folder(path, err);
    }
    return status;
}

/* Whether a process can live with the identity it has: the other half is time to renew it. */
static bool is_fresh(const struct config *config, const char *path)
{
    struct identity *identity = nullptr;
    const int64_t now = clock_unix_s();
    if (identity_open(path, now + (int64_t)(config->identity.ttl_s / 2), &identity, nullptr) !=
        STATUS_OK)
        return false;
    identity_close(identity);
    return true;
}

static enum status issue(const struct authority *authority, const struct config *config,
                         const char *folder, enum spiffe_role role, const char *name,
                         const char *place, struct error *err)
{
    char path[RUN_PATH_MAX + 96];
    struct spiffe_id id;
    const enum status status = spiffe_id_make(config->identity.trust_domain, role, name, &id, err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof(path), "%s/identity/%s", folder, place);
    if (is_fresh(config, path))
        return STATUS_OK;
    return authority_make_identity(
        authority, id.text,
        config->identity.tls_key == CONFIG_TLS_P256 ? IDENTITY_KEY_P256 : IDENTITY_KEY_ML_DSA_65,
        (uint32_t)config->identity.ttl_s, path, clock_unix_s(), err);
}

/* Issues what is not there, has ended, or has less than half of its life left. */
static enum status issue_all(const char *folder, const struct config *config, uint32_t nodes,
                             struct error *err)
{
    char path[RUN_PATH_MAX + 32];
    char name[CONFIG_NAME_MAX];
    struct authority *authority = nullptr;
    snprintf(path, sizeof(path), "%s/authority", folder);
    enum status status = authority_open(path, &authority, err);
    if (status == STATUS_OK)
        status = issue(authority, config, folder, SPIFFE_ROLE_COORDINATOR, "", "coordinator", err);
    if (status == STATUS_OK)
        status = issue(authority, config, folder, SPIFFE_ROLE_AUTHORITY, "", "authority", err);
    if (status == STATUS_OK)
        status = issue(authority, config, folder, SPIFFE_ROLE_OPERATOR, "local", "operator", err);
    for (uint32_t i = 0; i < nodes && status == STATUS_OK; i++) {
        run_node_name(i, name);
        status = issue(authority, config, folder, SPIFFE_ROLE_NODE, name, name, err);
    }
    authority_close(authority);
    return status;
}

/* Restarts of coordinator and authority must find the same ports: free ones are picked once. */
static enum status pick_ports(struct config *config, bool picks, struct error *err)
{
    uint16_t port = 0;
    uint16_t authority = 0;
    enum status status = free_port_pick(&port, err);
    for (authority = port; status == STATUS_OK && authority == port;)
        status = free_port_pick(&authority, err);
    char *const colon = strrchr(config->server.listen, ':');
    if (status == STATUS_OK && picks)
        snprintf(colon, sizeof(config->server.listen) - (size_t)(colon - config->server.listen),
                 ":%u", port);
    snprintf(config->identity.authority, sizeof(config->identity.authority), "127.0.0.1:%u",
             authority);
    return status;
}

/* Whole or not at all: what is there stays until the new file has its place. */
static enum status write_config(const struct config *config, const char *folder, const char *name,
                                struct error *err)
{
    char path[RUN_PATH_MAX + 96];
    char *text = nullptr;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/config/%s.yaml", folder, name);
    FILE *const memory = open_memstream(&text, &size);
    if (memory == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    enum status status = config_write(config, memory);
    if (fclose(memory) != 0 || status != STATUS_OK)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for %s", path);
    const struct slice slice = {(const uint8_t *)text, size};
    if (status == STATUS_OK)
        status = durable_file_write(path, &slice, 1, err);
    free(text);
    return status;
}

static enum status set_path(char *field, const char *folder, const char *sub, const char *name,
                            const char *ending, struct error *err)
{
    const int length = snprintf(field, CONFIG_PATH_MAX, "%s/%s%s%s", folder, sub, name, ending);
    if (length < 0 || length >= CONFIG_PATH_MAX)
        return error_set(err, STATUS_LIMIT, "the run's folder has too long a path");
    return STATUS_OK;
}

void run_connect_address(const char *listen, char ret_connect[static CONFIG_ADDRESS_MAX])
{
    static const char any[] = "0.0.0.0:";
    const bool is_any = strncmp(listen, any, sizeof(any) - 1) == 0;
    if (is_any)
        snprintf(ret_connect, CONFIG_ADDRESS_MAX, "127.0.0.1:%.5s", listen + sizeof(any) - 1);
    else
        memcpy(ret_connect, listen, CONFIG_ADDRESS_MAX);
}

static enum status write_coordinator(const char *folder, const struct config *config,
                                     struct config *own, struct error *err)
{
    *own = *config;
    enum status status =
        set_path(own->identity.directory, folder, "identity/", "coordinator", "", err);
    if (status == STATUS_OK)
        status = set_path(own->log.file, folder, "logs/", "coordinator", ".log", err);
    if (status == STATUS_OK)
        status = write_config(own, folder, "coordinator", err);
    return status;
}

static enum status write_node(const char *folder, const struct config *config,
                              enum config_data_format data_format, const char *data_path,
                              uint32_t index, const struct fault_plan *faults, struct config *own,
                              struct error *err)
{
    char name[CONFIG_NAME_MAX];
    run_node_name(index, name);
    *own = *config;
    own->server.state[0] = 0;
    own->data.part = index;
    own->data.format = data_format;
    memcpy(own->data.path, data_path, sizeof(own->data.path));
    own->faults.slow.share = faults->slow ? 1 : 0;
    own->faults.kill.share = faults->killed ? 1 : 0;
    memcpy(own->node.name, name, sizeof(own->node.name));
    run_connect_address(config->server.listen, own->node.connect);
    enum status status = set_path(own->node.state, folder, "nodes/", name, "", err);
    if (status == STATUS_OK)
        status = set_path(own->identity.directory, folder, "identity/", name, "", err);
    if (status == STATUS_OK)
        status = set_path(own->log.file, folder, "logs/", name, ".log", err);
    if (status == STATUS_OK)
        status = write_config(own, folder, name, err);
    return status;
}

static enum status write_configs(const char *folder, const struct config *config,
                                 const struct run_shape *shape, struct error *err)
{
    char data_path[CONFIG_PATH_MAX];
    enum config_data_format data_format = config->data.format;
    struct config *const own = malloc(sizeof(*own));
    struct fault_plan *const faults = calloc(shape->nodes + 1, sizeof(*faults));
    enum status status = own != nullptr && faults != nullptr
                             ? fault_plan_draw(config, shape->nodes, faults, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a configuration");
    memcpy(data_path, config->data.path, sizeof(data_path));
    if (status == STATUS_OK && run_processes(shape) > 1)
        status = run_data_unpack(folder, config, &data_format, data_path, err);
    if (status == STATUS_OK)
        status = write_coordinator(folder, config, own, err);
    for (uint32_t i = 0; i < shape->nodes && status == STATUS_OK; i++) {
        /* A process of its own is killed from outside. */
        faults[i].killed = faults[i].killed && shape->per_process > 1;
        status = write_node(folder, config, data_format, data_path, i, &faults[i], own, err);
    }
    free(faults);
    free(own);
    return status;
}

/* All that the processes need beside the authority; what is there already is made anew. */
static enum status prepare(const char *folder, struct config *config,
                           const struct run_record *record, struct error *err)
{
    enum status status = text_copy(folder, config->server.state, sizeof(config->server.state));
    if (status == STATUS_OK)
        status = pick_ports(config, record->port_picked, err);
    if (status == STATUS_OK)
        status = issue_all(folder, config, record->shape.nodes, err);
    if (status == STATUS_OK)
        status = write_configs(folder, config, &record->shape, err);
    return status;
}

enum status run_setup(const char *folder, struct config *config, const struct run_shape *shape,
                      struct error *err)
{
    static const char *const names[] = {"identity", "config", "nodes", "logs"};
    char path[RUN_PATH_MAX + 32];
    const char *const colon = strrchr(config->server.listen, ':');
    const struct run_record record = {.shape = *shape,
                                      .port_picked = colon != nullptr && strcmp(colon, ":0") == 0};
    enum status status = run_make_folders(folder, names, sizeof(names) / sizeof(*names), err);
    snprintf(path, sizeof(path), "%s/authority", folder);
    if (status == STATUS_OK)
        status = authority_init(path, config->identity.trust_domain, clock_unix_s(), err);
    if (status == STATUS_OK)
        status = prepare(folder, config, &record, err);
    if (status == STATUS_OK)
        status = run_record_write(folder, &record, err);
    return status;
}

enum status run_setup_again(const char *folder, struct config *config,
                            const struct run_record *record, struct error *err)
{
    return prepare(folder, config, record, err);
}
