/*
 * up_children.c - names, command lines and output files of a run's processes.
 */
#include "cli/up_children.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = RUN_PATH_MAX + 96 };

/* Adds a word to a command line whose arguments have room; null where there is no memory. */
static char *add(struct child *child, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static char *add(struct child *child, const char *format, ...)
{
    char text[PATH_BYTES_MAX];
    uint32_t at = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    while (child->arguments[at] != nullptr)
        at++;
    child->arguments[at] = strdup(text);
    return child->arguments[at];
}

/* A child with room for words, whose output goes to RUN/logs/NAME.ENDING. */
static bool begin(struct child *child, const char *folder, const char *ending, uint32_t words)
{
    char text[PATH_BYTES_MAX];
    snprintf(text, sizeof(text), "%s/logs/%s.%s", folder, child->name, ending);
    child->output = strdup(text);
    child->arguments = calloc(words + 1, sizeof(*child->arguments));
    return child->output != nullptr && child->arguments != nullptr;
}

static bool describe_coordinator(struct child *child, const char *folder, const char *program)
{
    snprintf(child->name, sizeof(child->name), "coordinator");
    child->keeps_output = true; /* its progress is ours */
    return begin(child, folder, "err", 4) && add(child, "%s", program) &&
           add(child, "coordinator") && add(child, "-c") &&
           add(child, "%s/config/coordinator.yaml", folder);
}

/* The process of count nodes from first on. */
static bool describe_nodes(struct child *child, const char *folder, const char *program,
                           uint32_t first, uint32_t count)
{
    char name[CONFIG_NAME_MAX];
    run_node_name(first, name);
    if (count == 1)
        snprintf(child->name, sizeof(child->name), "%.31s", name);
    else
        snprintf(child->name, sizeof(child->name), "nodes-%03u-%03u", first, first + count - 1);
    bool good = begin(child, folder, "err", 2 + 2 * count) && add(child, "%s", program) &&
                add(child, "node");
    for (uint32_t i = first; i < first + count && good; i++) {
        run_node_name(i, name);
        good = add(child, "-c") && add(child, "%s/config/%s.yaml", folder, name);
    }
    return good;
}

static bool describe_authority(struct child *child, const char *folder, const char *program,
                               const char *address)
{
    snprintf(child->name, sizeof(child->name), "authority");
    return begin(child, folder, "log", 11) && add(child, "%s", program) && add(child, "ca") &&
           add(child, "serve") && add(child, "--listen") && add(child, "%s", address) &&
           add(child, "--dir") && add(child, "%s/authority", folder) && add(child, "--identity") &&
           add(child, "%s/identity/authority", folder) && add(child, "--keep") &&
           add(child, "%s/identity", folder);
}

static bool describe_central(struct child *child, const char *folder, const char *program)
{
    snprintf(child->name, sizeof(child->name), "central");
    child->keeps_output = true;
    return begin(child, folder, "err", 6) && add(child, "%s", program) && add(child, "central") &&
           add(child, "--out") && add(child, "%s/central.json", folder) && add(child, "-c") &&
           add(child, "%s/config/coordinator.yaml", folder);
}

void up_children_deinit(struct up_children *children)
{
    for (uint32_t i = 0; i < children->count; i++) {
        struct child *const child = &children->children[i];
        for (size_t j = 0; child->arguments != nullptr && child->arguments[j] != nullptr; j++)
            free(child->arguments[j]);
        free(child->arguments);
        free(child->output);
    }
    free(children->children);
    *children = (struct up_children){0};
}

enum status up_children_init(struct up_children *children, const char *folder,
                             const struct run_shape *shape, const char *authority,
                             struct error *err)
{
    char program[RUN_PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length <= 0)
        return error_set_errno(err, STATUS_IO, errno, "/proc/self/exe");
    program[length] = 0;
    const uint32_t processes = run_processes(shape);
    *children = (struct up_children){.count = processes + 3};
    children->children = calloc(children->count, sizeof(*children->children));
    bool good = children->children != nullptr;
    if (!good)
        children->count = 0;
    good = good && describe_coordinator(up_coordinator(children), folder, program);
    for (uint32_t i = 0; i < processes && good; i++) {
        const uint32_t first = i * shape->per_process;
        const uint32_t left = shape->nodes - first;
        good = describe_nodes(&children->children[1 + i], folder, program, first,
                              left < shape->per_process ? left : shape->per_process);
    }
    good = good && describe_authority(up_authority(children), folder, program, authority);
    good = good && describe_central(up_central(children), folder, program);
    if (good)
        return STATUS_OK;
    up_children_deinit(children);
    return error_set(err, STATUS_NO_MEMORY, "no memory for %u processes", processes + 2);
}
