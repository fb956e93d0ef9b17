/*
 * config_schema.h - one row a configuration key, and how its value is read from and made into text.
 *
 * Private to config_*.c.
 */
#pragma once

#include "host/config.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_VALUE_MAX = 4 * CONFIG_PATH_MAX + 16, /* a value as YAML, with its zero */
    CONFIG_TREES_MAX = 32,
    CONFIG_KEY_PATH_MAX = 64,
    CONFIG_WRONG_MAX = 320, /* what is wrong with a value, in words */
};

enum config_type {
    CONFIG_TYPE_U64,
    CONFIG_TYPE_COUNT, /* a U64, or "none" (0) or "all" (UINT64_MAX) */
    CONFIG_TYPE_F64,
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_ENUM,
    CONFIG_TYPE_TEXT,
    CONFIG_TYPE_LIST,
};

/* What a text may be; each is checked and has its words in config_value.c. */
enum config_text_kind {
    CONFIG_TEXT_PATH,
    CONFIG_TEXT_COMMAND, /* for /bin/sh */
    CONFIG_TEXT_NAME,    /* [a-z0-9-] */
    CONFIG_TEXT_DOMAIN,  /* [a-z0-9.-] */
    CONFIG_TEXT_LISTEN,  /* host:port, port 0 allowed */
    CONFIG_TEXT_CONNECT, /* host:port */
    CONFIG_TEXT_COLUMN,  /* of a CSV file */
    CONFIG_TEXT_WORDS,   /* [a-z0-9_.=+-], separated by commas or spaces */
};

struct config_key {
    const char *tree; /* "faults.slow": the path of the tree it lies in */
    const char *name;
    const char *path; /* "tree.name" */
    enum config_type type;
    uint32_t offset; /* in struct config */
    uint32_t size;   /* of the member, bytes */
    const char *default_value;
    const char *help;
    uint64_t min; /* U64, COUNT and each item of a LIST, inclusive */
    uint64_t max;
    double f64_min; /* F64; inclusive but where min_open */
    double f64_max;
    bool min_open;
    const char *const *names; /* ENUM: the accepted values, in the order of the C enum, then null */
    enum config_text_kind text_kind;
    bool optional; /* TEXT: may be "" */
};

/* A section of the file. One whose name has a dot lies in the one before it, "faults.slow" in
 * "faults". */
struct config_tree {
    const char *name; /* its path */
    const char *help;
};

extern const struct config_key config_keys[];
extern const uint32_t config_key_count;
extern const struct config_tree config_trees[];
extern const uint32_t config_tree_count;

/* The index of a key or a tree, or UINT32_MAX. */
uint32_t config_key_find(const char *tree, const char *name);
uint32_t config_path_find(const char *path);
uint32_t config_tree_find(const char *path);

/* The index of the tree that lies in parent (null: at the first level) under name, or UINT32_MAX.
 */
uint32_t config_tree_find_in(const char *parent, const char *name);

/* How many trees a tree lies in: 0 for most. */
uint32_t config_tree_depth(uint32_t tree);

/*
 * What a user may have meant: the nearest key path for an unknown key, the nearest tree (or key)
 * for an unknown first-level name (tree null). Null where nothing is near. Static text.
 */
const char *config_suggest(const char *tree, const char *name);

/*
 * Reads a scalar into its member of config. quoted: it stood in quotes, so it is a text.
 * INVAL with "what is wrong, what would be right" in ret_wrong; config is unchanged then.
 */
[[nodiscard]] enum status config_value_read(const struct config_key *key, const char *text,
                                            size_t size, bool quoted, struct config *config,
                                            char ret_wrong[static CONFIG_WRONG_MAX]);

/* Reads one more item of a LIST. As config_value_read. */
[[nodiscard]] enum status config_item_read(const struct config_key *key, const char *text,
                                           size_t size, bool quoted, struct config_list *list,
                                           char ret_wrong[static CONFIG_WRONG_MAX]);

/* The member of config that the key stands for. */
static inline void *config_member(const struct config_key *key, struct config *config)
{
    return (char *)config + key->offset;
}

static inline const void *config_member_const(const struct config_key *key,
                                              const struct config *config)
{
    return (const char *)config + key->offset;
}

/* The value as YAML that reads back to the same bits. */
void config_value_write(const struct config_key *key, const struct config *config,
                        char ret_text[static CONFIG_VALUE_MAX]);

/* "a whole number from 1 to 1000": what a value must be. */
void config_value_wanted(const struct config_key *key, char ret_text[static CONFIG_WRONG_MAX]);

/* Whether size bytes are well-formed UTF-8 without a zero byte; else the offset of the first bad.
 */
bool config_utf8_valid(const void *text, size_t size, size_t *ret_offset);

/*
 * Adds one mistake. line > 0: that line of name; line < 0: the -line-th --set; 0: name alone. path
 * may be "". Silently does nothing once the report is full.
 */
void config_mistake(struct config_report *report, const char *name, int32_t line, const char *path,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
