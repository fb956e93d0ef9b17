/*
 * config_read.c - configuration from YAML and --set, with all mistakes found in one go.
 *
 * Works on libyaml's events, as they carry lines; sections hold keys and sections as
 * the schema says, and everything else YAML can do is refused. Values are read in config_value.c,
 * checks over several keys are in config_check.c.
 */
#include "host/config_schema.h"

#include "base/check.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    NAME_MAX_SHOWN = 64, /* of a key's name, with its zero; longer names are unknown anyway */
    DEPTH_MAX = 8,       /* of what is skipped under a mistake */
};

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct config_report *report;
    struct config *config;
    int32_t tree_line[CONFIG_TREES_MAX];
    int32_t schema_line;
    uint32_t top_keys;
    bool stop; /* nothing more can be read */
};

static int32_t event_line(const yaml_event_t *event)
{
    return (int32_t)event->start_mark.line + 1;
}

#define MISTAKE(reader, line, path, ...)                                                           \
    config_mistake((reader)->report, (reader)->name, (line), (path), __VA_ARGS__)

/* The next event, false at the end of what can be read; a syntax error is reported here. */
static bool next_event(struct reader *reader, yaml_event_t *ret_event)
{
    if (reader->stop || reader->report->full)
        return false;
    if (yaml_parser_parse(&reader->parser, ret_event))
        return true;
    const yaml_parser_t *const p = &reader->parser;
    const int32_t line = (int32_t)p->problem_mark.line + 1;
    reader->stop = true;
    if (p->context)
        MISTAKE(reader, line, "", "not YAML: %s, %s", p->context, p->problem);
    else
        MISTAKE(reader, line, "", "not YAML: %s", p->problem ? p->problem : "cannot be read");
    return false;
}

/* Refuses what YAML has and a configuration has not. True where the event was such. */
static bool refused_feature(struct reader *reader, const yaml_event_t *event, const char *path)
{
    const yaml_char_t *anchor = nullptr;
    const yaml_char_t *tag = nullptr;
    if (event->type == YAML_ALIAS_EVENT) {
        MISTAKE(reader, event_line(event), path, "an alias (*), write the value out");
        return true;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    }
    if (anchor)
        MISTAKE(reader, event_line(event), path, "an anchor (&), write the value without it");
    if (tag)
        MISTAKE(reader, event_line(event), path, "a tag (!), write the value without it");
    return anchor || tag;
}

static bool opens(const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT;
}

static bool closes(const yaml_event_t *event)
{
    return event->type == YAML_MAPPING_END_EVENT || event->type == YAML_SEQUENCE_END_EVENT;
}

/* Passes over the rest of the collection that was just opened. */
static void skip_open(struct reader *reader)
{
    yaml_event_t event;
    for (int depth = 1; depth > 0 && next_event(reader, &event);) {
        if (opens(&event))
            depth++;
        else if (closes(&event))
            depth--;
        if (depth > DEPTH_MAX) {
            MISTAKE(reader, event_line(&event), "", "nested too deep, no key is so deep");
            reader->stop = true;
        }
        yaml_event_delete(&event);
    }
}

/* Passes over one value. */
static void skip_value(struct reader *reader)
{
    yaml_event_t event;
    if (!next_event(reader, &event))
        return;
    const bool open = opens(&event);
    yaml_event_delete(&event);
    if (open)
        skip_open(reader);
}

static bool is_null(const yaml_event_t *event)
{
    const char *const text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!strcmp(text, "") || !strcmp(text, "~") || !strcasecmp(text, "null"));
}

/* Copies a mapping's key; false (with a mistake, all passed over) where it cannot be one. */
static bool key_name(struct reader *reader, const yaml_event_t *event, const char *tree,
                     char ret_name[static NAME_MAX_SHOWN])
{
    if (refused_feature(reader, event, tree))
        return false;
    if (event->type != YAML_SCALAR_EVENT) {
        MISTAKE(reader, event_line(event), tree, "a key that is not a word");
        return false;
    }
    text_escape(event->data.scalar.value, event->data.scalar.length, ret_name, NAME_MAX_SHOWN);
    return true;
}

static void mistake_unknown(struct reader *reader, int32_t line, const char *tree, const char *name)
{
    char path[2 * NAME_MAX_SHOWN];
    const char *const suggestion = config_suggest(tree, name);
    snprintf(path, sizeof path, "%s%s%s", tree ? tree : "", tree ? "." : "", name);
    if (strchr(name, '.') &&
        (config_path_find(path) != UINT32_MAX || config_tree_find(path) != UINT32_MAX))
        MISTAKE(reader, line, path,
                "a key with a dot, what stands after it is wanted below, indented");
    else if (suggestion)
        MISTAKE(reader, line, path, "unknown key, did you mean %s?", suggestion);
    else
        MISTAKE(reader, line, path, "unknown key, `fedra config keys%s%s` lists those there are",
                tree ? " " : "", tree ? tree : "");
}

/* The items of a list, after its start. */
static void read_items(struct reader *reader, const struct config_key *key)
{
    char wrong[CONFIG_WRONG_MAX];
    struct config_list list = {0};
    yaml_event_t event;
    bool end = false;
    bool good = true;
    while (!end && next_event(reader, &event)) {
        const int32_t line = event_line(&event);
        end = closes(&event);
        if (end || refused_feature(reader, &event, key->path)) {
            good = good && end;
        } else if (event.type != YAML_SCALAR_EVENT) {
            good = false;
            MISTAKE(reader, line, key->path,
                    "a list or section in a list, whole numbers are wanted");
            skip_open(reader);
        } else if (good && config_item_read(key, (const char *)event.data.scalar.value,
                                            event.data.scalar.length,
                                            event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
                                            &list, wrong) != STATUS_OK) {
            good = false;
            MISTAKE(reader, line, key->path, "%s", wrong);
        }
        yaml_event_delete(&event);
    }
    if (good && end)
        *(struct config_list *)config_member(key, reader->config) = list;
}

static void read_scalar(struct reader *reader, const struct config_key *key,
                        const yaml_event_t *event)
{
    char wrong[CONFIG_WRONG_MAX];
    const char *const text = (const char *)event->data.scalar.value;
    config_value_wanted(key, wrong);
    if (is_null(event)) {
        MISTAKE(reader, event_line(event), key->path, "has no value, %s is wanted", wrong);
        return;
    }
    if (key->type == CONFIG_TYPE_LIST) {
        MISTAKE(reader, event_line(event), key->path, "is not a list, %s is wanted", wrong);
        return;
    }
    if (config_value_read(key, text, event->data.scalar.length,
                          event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE, reader->config,
                          wrong) != STATUS_OK)
        MISTAKE(reader, event_line(event), key->path, "%s", wrong);
}

/* The value of a known key. */
static void read_value(struct reader *reader, const struct config_key *key)
{
    char wanted[CONFIG_WRONG_MAX];
    yaml_event_t event;
    if (!next_event(reader, &event))
        return;
    if (refused_feature(reader, &event, key->path)) {
        if (opens(&event))
            skip_open(reader);
    } else if (event.type == YAML_SCALAR_EVENT) {
        read_scalar(reader, key, &event);
    } else if (event.type == YAML_SEQUENCE_START_EVENT && key->type == CONFIG_TYPE_LIST) {
        read_items(reader, key);
    } else {
        config_value_wanted(key, wanted);
        MISTAKE(reader, event_line(&event), key->path, "is a %s, %s is wanted",
                event.type == YAML_SEQUENCE_START_EVENT ? "list" : "section", wanted);
        skip_open(reader);
    }
    yaml_event_delete(&event);
}

static void read_section(struct reader *reader, uint32_t tree, int32_t line);

/* One key of a tree, and its value; or a tree in a tree. */
static void read_key(struct reader *reader, const char *tree, const yaml_event_t *event)
{
    char name[NAME_MAX_SHOWN];
    const int32_t line = event_line(event);
    if (!key_name(reader, event, tree, name)) {
        if (opens(event))
            skip_open(reader);
        skip_value(reader);
        return;
    }
    const uint32_t inner = config_tree_find_in(tree, name);
    const uint32_t index = config_key_find(tree, name);
    if (inner != UINT32_MAX) {
        read_section(reader, inner, line);
    } else if (index == UINT32_MAX) {
        mistake_unknown(reader, line, tree, name);
        skip_value(reader);
    } else if (reader->config->origin[index] != 0) {
        MISTAKE(reader, line, config_keys[index].path, "given twice, first in line %d",
                reader->config->origin[index]);
        skip_value(reader);
    } else {
        reader->config->origin[index] = line;
        read_value(reader, &config_keys[index]);
    }
}

/* The keys of a tree. */
static void read_tree(struct reader *reader, const char *tree)
{
    yaml_event_t event;
    if (!next_event(reader, &event))
        return;
    const bool refused = refused_feature(reader, &event, tree);
    if (refused || event.type != YAML_MAPPING_START_EVENT) {
        if (!refused)
            MISTAKE(reader, event_line(&event), tree,
                    "is a section, its keys are wanted below it, indented");
        if (opens(&event))
            skip_open(reader);
        yaml_event_delete(&event);
        return;
    }
    yaml_event_delete(&event);
    for (bool end = false; !end && next_event(reader, &event);) {
        end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            read_key(reader, tree, &event);
        yaml_event_delete(&event);
    }
}

/* A tree whose name was just read. */
static void read_section(struct reader *reader, uint32_t tree, int32_t line)
{
    if (reader->tree_line[tree]) {
        MISTAKE(reader, line, config_trees[tree].name, "given twice, first in line %d",
                reader->tree_line[tree]);
        skip_value(reader);
        return;
    }
    reader->tree_line[tree] = line;
    read_tree(reader, config_trees[tree].name);
}

static void read_schema(struct reader *reader, int32_t line)
{
    yaml_event_t event;
    if (reader->schema_line) {
        MISTAKE(reader, line, "schema", "given twice, first in line %d", reader->schema_line);
        skip_value(reader);
        return;
    }
    reader->schema_line = line;
    if (reader->top_keys > 1)
        MISTAKE(reader, line, "schema", "is not the first key, it is wanted before all others");
    if (!next_event(reader, &event))
        return;
    if (!refused_feature(reader, &event, "schema")) {
        if (event.type != YAML_SCALAR_EVENT ||
            strcmp((const char *)event.data.scalar.value, "1") != 0 ||
            event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
            MISTAKE(reader, event_line(&event), "schema",
                    "is not one this fedra reads, \"schema: 1\" is wanted");
    }
    if (opens(&event))
        skip_open(reader);
    yaml_event_delete(&event);
}

/* One first-level key, and all under it. */
static void read_top_key(struct reader *reader, const yaml_event_t *event)
{
    char name[NAME_MAX_SHOWN];
    const int32_t line = event_line(event);
    reader->top_keys++;
    if (!key_name(reader, event, "", name)) {
        if (opens(event))
            skip_open(reader);
        skip_value(reader);
        return;
    }
    const uint32_t tree = config_tree_find_in(nullptr, name);
    if (!strcmp(name, "schema")) {
        read_schema(reader, line);
    } else if (tree != UINT32_MAX) {
        read_section(reader, tree, line);
    } else {
        mistake_unknown(reader, line, nullptr, name);
        skip_value(reader);
    }
}

/* The document's outermost value. */
static void read_root(struct reader *reader)
{
    yaml_event_t event;
    if (!next_event(reader, &event))
        return;
    if (event.type != YAML_MAPPING_START_EVENT || refused_feature(reader, &event, "")) {
        if (event.type != YAML_MAPPING_START_EVENT)
            MISTAKE(reader, event_line(&event), "",
                    "holds no sections, \"schema: 1\" and sections are wanted");
        reader->stop = true;
        yaml_event_delete(&event);
        return;
    }
    yaml_event_delete(&event);
    for (bool end = false; !end && next_event(reader, &event);) {
        end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            read_top_key(reader, &event);
        yaml_event_delete(&event);
    }
    if (!reader->schema_line && !reader->stop)
        MISTAKE(reader, 1, "schema", "is missing, \"schema: 1\" is wanted as the first line");
}

static void read_stream(struct reader *reader)
{
    yaml_event_t event;
    uint32_t documents = 0;
    for (bool end = false; !end && next_event(reader, &event);) {
        const yaml_event_type_t type = event.type;
        end = type == YAML_STREAM_END_EVENT;
        if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            MISTAKE(reader, event_line(&event), "", "a second document, only one is allowed");
            reader->stop = true;
        }
        yaml_event_delete(&event);
        if (type == YAML_DOCUMENT_START_EVENT && documents == 1)
            read_root(reader);
    }
    if (documents == 0 && !reader->stop)
        MISTAKE(reader, 1, "", "is empty, \"schema: 1\" and sections are wanted");
}

/* What must not be in the bytes at all. False where reading the YAML would make no sense. */
static bool bytes_are_good(struct reader *reader, const char *text, size_t size)
{
    size_t bad = size;
    const bool utf8 = config_utf8_valid(text, size, &bad);
    int32_t line = 1;
    int32_t tab_line = 0;
    bool good = utf8;
    for (size_t i = 0; i < bad; i++) {
        if (text[i] == '\t' && tab_line != line) {
            MISTAKE(reader, line, "", "a tab, spaces are wanted");
            tab_line = line;
            good = false;
        }
        line += text[i] == '\n';
    }
    if (!utf8)
        MISTAKE(reader, line, "", "not UTF-8 text, a YAML file in UTF-8 is wanted");
    return good;
}

static enum status read_yaml(struct reader *reader, const void *text, size_t size)
{
    if (size > CONFIG_FILE_BYTES_MAX) {
        MISTAKE(reader, 0, "", "is over %d bytes, that is no configuration", CONFIG_FILE_BYTES_MAX);
        return STATUS_OK;
    }
    if (!bytes_are_good(reader, text, size))
        return STATUS_OK;
    if (!yaml_parser_initialize(&reader->parser))
        return STATUS_NO_MEMORY;
    yaml_parser_set_input_string(&reader->parser, text ? text : (const void *)"", size);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    read_stream(reader);
    const bool no_memory = reader->parser.error == YAML_MEMORY_ERROR;
    yaml_parser_delete(&reader->parser);
    return no_memory ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Names the first part of a path that is not known. Changes path. */
static void mistake_unknown_path(struct reader *reader, int32_t line, char *path)
{
    const char *tree = nullptr;
    char *name = path;
    for (char *dot = strchr(name, '.'); dot; dot = strchr(name, '.')) {
        *dot = 0;
        const uint32_t inner = config_tree_find_in(tree, name);
        if (inner == UINT32_MAX)
            break;
        tree = config_trees[inner].name;
        name = dot + 1;
    }
    mistake_unknown(reader, line, tree, name);
}

/* One --set key.path=value. */
static void read_set(struct reader *reader, const char *set, int32_t number)
{
    char path[2 * NAME_MAX_SHOWN];
    char wrong[CONFIG_WRONG_MAX];
    const char *const equals = strchr(set, '=');
    const size_t length = equals ? (size_t)(equals - set) : strlen(set);
    text_escape(set, length, path, sizeof path);
    if (!equals) {
        MISTAKE(reader, -number, path, "has no =, key.path=value is wanted");
        return;
    }
    const uint32_t index = config_path_find(path);
    if (index == UINT32_MAX) {
        if (config_tree_find(path) != UINT32_MAX) {
            MISTAKE(reader, -number, path, "is a section, one of its keys is wanted");
            return;
        }
        mistake_unknown_path(reader, -number, path);
        return;
    }
    const struct config_key *const key = &config_keys[index];
    if (config_value_read(key, equals + 1, strlen(equals + 1), false, reader->config, wrong) !=
        STATUS_OK)
        MISTAKE(reader, -number, key->path, "%s", wrong);
    reader->config->origin[index] = -number;
}

void config_defaults(struct config *ret_config)
{
    char wrong[CONFIG_WRONG_MAX];
    *ret_config = (struct config){0};
    for (uint32_t i = 0; i < config_key_count; i++) {
        const char *const value = config_keys[i].default_value;
        CHECK(config_value_read(&config_keys[i], value, strlen(value), false, ret_config, wrong) ==
              STATUS_OK);
    }
}

/* config_parse; name and text null where there is no file. */
static enum status parse(const char *name, const void *text, size_t size, const char *const *sets,
                         uint32_t count, struct config_report *report, struct config *ret_config)
{
    enum status status = STATUS_OK;
    const uint32_t mistakes_before = report->count;
    struct config *const config = malloc(sizeof *config);
    if (!config)
        return STATUS_NO_MEMORY;
    config_defaults(config);
    struct reader reader = {.name = name ? name : "--set", .report = report, .config = config};
    if (name) {
        snprintf(config->file, sizeof config->file, "%s", name);
        status = read_yaml(&reader, text, size);
        if (status != STATUS_OK)
            goto out;
    }
    for (uint32_t i = 0; i < count; i++)
        read_set(&reader, sets[i], (int32_t)i + 1);
    if (report->count == mistakes_before)
        status = config_check(config, 0, report);
    else
        status = STATUS_INVAL;
    if (status == STATUS_OK)
        *ret_config = *config;
out:
    free(config);
    return status;
}

enum status config_parse(const char *name, const void *text, size_t size, const char *const *sets,
                         uint32_t count, struct config_report *report, struct config *ret_config)
{
    return parse(name, text, size, sets, count, report, ret_config);
}

enum status config_load(const char *file, const char *const *sets, uint32_t count,
                        struct config_report *report, struct config *ret_config)
{
    enum status status = STATUS_IO;
    if (!file)
        return parse(nullptr, nullptr, 0, sets, count, report, ret_config);
    char *const text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    FILE *const in = text ? fopen(file, "rbe") : nullptr;
    if (!text) {
        status = STATUS_NO_MEMORY;
        goto out;
    }
    if (!in) {
        config_mistake(report, file, 0, "", "cannot be opened: %s", strerror(errno));
        goto out;
    }
    const size_t size = fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, in);
    if (ferror(in)) {
        config_mistake(report, file, 0, "", "cannot be read: %s", strerror(errno));
        goto out;
    }
    status = parse(file, text, size, sets, count, report, ret_config);
out:
    if (in)
        fclose(in);
    free(text);
    return status;
}
