/*
 * config_show.c - a configuration as YAML, and the schema as documentation.
 */
#include "host/config_schema.h"

#include "base/text.h"

#include <string.h>

enum { COMMENT_COLUMN = 44 };

/* Where key index came from, in words for a YAML comment. */
static void origin_write(const struct config *config, uint32_t index, char *ret, size_t capacity)
{
    const int32_t line = config->origin[index];
    char file[128];
    text_escape(config->file, strlen(config->file), file, sizeof file);
    if (line > 0)
        snprintf(ret, capacity, "%s:%d", file, line);
    else if (line < 0)
        snprintf(ret, capacity, "--set %d", -line);
    else
        snprintf(ret, capacity, "default");
}

static enum status written(FILE *file)
{
    return fflush(file) == 0 && !ferror(file) ? STATUS_OK : STATUS_IO;
}

/* All trees and keys in the schema's order, with comments where origins is true. */
static enum status write_yaml(const struct config *config, bool origins, FILE *file)
{
    char value[CONFIG_VALUE_MAX];
    char origin[256];
    fprintf(file, "schema: %d\n", CONFIG_SCHEMA);
    for (uint32_t t = 0; t < config_tree_count; t++) {
        const int indent = 2 * (int)config_tree_depth(t);
        const char *const dot = strrchr(config_trees[t].name, '.');
        fprintf(file, "%*s%s:\n", indent, "", dot ? dot + 1 : config_trees[t].name);
        for (uint32_t i = 0; i < config_key_count; i++) {
            const struct config_key *const key = &config_keys[i];
            if (strcmp(key->tree, config_trees[t].name) != 0)
                continue;
            config_value_write(key, config, value);
            origin_write(config, i, origin, sizeof origin);
            const int width = fprintf(file, "%*s  %s: %s", indent, "", key->name, value);
            if (origins)
                fprintf(file, "%*s  # %s", width < COMMENT_COLUMN ? COMMENT_COLUMN - width : 0, "",
                        origin);
            fputc('\n', file);
        }
    }
    return written(file);
}

enum status config_write(const struct config *config, FILE *file)
{
    return write_yaml(config, false, file);
}

enum status config_show(const struct config *config, FILE *file)
{
    return write_yaml(config, true, file);
}

/* The default as a reader of the documentation wants to see it. */
static const char *shown_default(const struct config_key *key)
{
    return key->default_value[0] ? key->default_value : "\"\"";
}

static bool holds_keys(const char *tree)
{
    for (uint32_t i = 0; i < config_key_count; i++) {
        if (!strcmp(config_keys[i].tree, tree))
            return true;
    }
    return false;
}

enum status config_write_docs(FILE *file)
{
    char wanted[CONFIG_WRONG_MAX];
    fputs("# Configuration\n\n"
          "<!-- Written by `fedra config docs` from src/host/config_schema.c; change that. -->\n\n"
          "A configuration is a YAML file. Its first line is `schema: 1`, then follow the sections "
          "below, in any\norder; every key may be left out and then has its default. `fedra config "
          "check FILE` names all mistakes\nwith their lines, `fedra config show FILE` prints every "
          "value and where it came from, and\n`--set section.key=value` overrides a key on the "
          "command line. Unknown and repeated keys, anchors, tags,\ntabs and second documents are "
          "mistakes. Text may stand in quotes, numbers may not. `\"\"` means: not given.\n",
          file);
    for (uint32_t t = 0; t < config_tree_count; t++) {
        fprintf(file, "\n##%s %s\n\n%c%s.\n", config_tree_depth(t) > 0 ? "#" : "",
                config_trees[t].name, config_trees[t].help[0] - 'a' + 'A',
                config_trees[t].help + 1);
        if (holds_keys(config_trees[t].name))
            fputs("\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n", file);
        for (uint32_t i = 0; i < config_key_count; i++) {
            const struct config_key *const key = &config_keys[i];
            if (strcmp(key->tree, config_trees[t].name) != 0)
                continue;
            config_value_wanted(key, wanted);
            fprintf(file, "| `%s` | %s | `%s` | %s |\n", key->path, wanted, shown_default(key),
                    key->help);
        }
    }
    return written(file);
}

enum status config_write_help(const char *prefix, FILE *file)
{
    char wanted[CONFIG_WRONG_MAX];
    uint32_t found = 0;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *const key = &config_keys[i];
        if (strncmp(key->path, prefix, strlen(prefix)) != 0)
            continue;
        found++;
        config_value_wanted(key, wanted);
        fprintf(file, "%s: %s\n    %s\n    %s\n", key->path, shown_default(key), key->help, wanted);
    }
    return found ? written(file) : STATUS_NOT_FOUND;
}
