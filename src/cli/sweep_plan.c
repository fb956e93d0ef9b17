/*
 * sweep_plan.c - see sweep_plan.h.
 */
#include "cli/sweep_plan.h"

#include "base/text.h"
#include "host/config.h"

#include <string.h>

/* One --sweep: a key, and where its values begin and end in the text. */
struct axis {
    const char *text;
    size_t key_size;
    uint32_t count;
    const char *values[SWEEP_SETTINGS_MAX];
    size_t sizes[SWEEP_SETTINGS_MAX];
};

static enum status check_key(const struct axis *axis, struct error *err)
{
    char key[SWEEP_SET_MAX];
    text_escape(axis->text, axis->key_size, key, sizeof(key));
    struct text_nearest nearest = text_nearest_begin(key);
    const char *path = nullptr;
    for (uint32_t i = 0; (path = config_key_path(i)) != nullptr; i++) {
        if (strcmp(path, key) == 0)
            break;
        text_nearest_try(&nearest, path);
    }
    if (path == nullptr && nearest.best != nullptr)
        return error_set(err, STATUS_INVAL, "--sweep %s: no such key, did you mean %s?", key,
                         nearest.best);
    if (path == nullptr)
        return error_set(err, STATUS_INVAL,
                         "--sweep %s: no such key, `fedra config keys` lists those there are", key);
    if (strcmp(key, "job.seed") == 0)
        return error_set(
            err, STATUS_INVAL,
            "--sweep job.seed: each setting is run with --repeat seeds, from --seed on");
    return STATUS_OK;
}

/* How many bytes the value at text has: up to a comma outside brackets, or the end. */
static size_t value_size(const char *text)
{
    int depth = 0;
    size_t size = 0;
    for (; text[size] != 0 && (text[size] != ',' || depth > 0); size++)
        depth += text[size] == '[' ? 1 : text[size] == ']' && depth > 0 ? -1 : 0;
    return size;
}

static bool has_value(const struct axis *axis, const char *value, size_t size)
{
    for (uint32_t i = 0; i < axis->count; i++) {
        if (axis->sizes[i] == size && memcmp(axis->values[i], value, size) == 0)
            return true;
    }
    return false;
}

static enum status read_values(struct axis *axis, const char *text, struct error *err)
{
    char shown[SWEEP_SET_MAX];
    text_escape(axis->text, strlen(axis->text), shown, sizeof(shown));
    for (const char *value = text;; value++) {
        const size_t size = value_size(value);
        if (size == 0)
            return error_set(err, STATUS_INVAL,
                             "--sweep %s: %s, key.path=value,value,... is wanted", shown,
                             *text == 0 ? "has no values" : "has an empty value");
        if (axis->key_size + size + 2 > SWEEP_SET_MAX)
            return error_set(err, STATUS_LIMIT, "--sweep %s: a value has more than %zu bytes",
                             shown, SWEEP_SET_MAX - axis->key_size - 2);
        if (has_value(axis, value, size))
            return error_set(err, STATUS_INVAL, "--sweep %s: the value %.*s is there twice", shown,
                             (int)size, value);
        if (axis->count == SWEEP_SETTINGS_MAX)
            return error_set(err, STATUS_LIMIT, "--sweep %s: more than %d values", shown,
                             SWEEP_SETTINGS_MAX);
        axis->values[axis->count] = value;
        axis->sizes[axis->count++] = size;
        value += size;
        if (*value == 0)
            return STATUS_OK;
    }
}

static enum status read_axis(const char *text, struct axis *ret_axis, struct error *err)
{
    char shown[SWEEP_SET_MAX];
    const char *const equals = strchr(text, '=');
    *ret_axis = (struct axis){.text = text};
    text_escape(text, strlen(text), shown, sizeof(shown));
    if (equals == nullptr)
        return error_set(err, STATUS_INVAL,
                         "--sweep %s: has no =, key.path=value,value,... is wanted", shown);
    ret_axis->key_size = (size_t)(equals - text);
    const enum status status = check_key(ret_axis, err);
    return status == STATUS_OK ? read_values(ret_axis, equals + 1, err) : status;
}

/* Whether text is "key=..." with the axis's key. */
static bool same_key(const struct axis *axis, const char *text)
{
    return strncmp(axis->text, text, axis->key_size + 1) == 0;
}

static enum status check_once(const struct axis *axis, const struct axis *before, uint32_t count,
                              const struct option_list *sets, struct error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (same_key(axis, before[i].text))
            return error_set(err, STATUS_INVAL, "--sweep %.*s: is swept twice, once is wanted",
                             (int)axis->key_size, axis->text);
    }
    for (uint32_t i = 0; i < sets->count; i++) {
        if (same_key(axis, sets->items[i]))
            return error_set(err, STATUS_INVAL,
                             "--sweep %.*s: --set gives that key too, one of them "
                             "is wanted",
                             (int)axis->key_size, axis->text);
    }
    return STATUS_OK;
}

/* Appends what fits; false where it does not. */
static bool append(char *text, size_t capacity, const char *more, size_t size)
{
    const size_t used = strlen(text);
    if (used + size >= capacity)
        return false;
    memcpy(text + used, more, size);
    text[used + size] = 0;
    return true;
}

/* The folder's part for one set: bytes that a file's name had better not have become %XX. */
static bool append_folder(char *folder, const char *set)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=-";
    bool good = folder[0] == 0 || append(folder, SWEEP_FOLDER_MAX, ",", 1);
    for (const char *byte = set; *byte != 0 && good; byte++) {
        char text[4];
        const bool is_plain = strchr(plain, *byte) != nullptr;
        snprintf(text, sizeof(text), is_plain ? "%c" : "%%%02X", (unsigned char)*byte);
        good = append(folder, SWEEP_FOLDER_MAX, text, is_plain ? 1 : 3);
    }
    return good;
}

/* The combination of that number; SWEEP_NAME_MAX has room for all sets. */
static enum status combine(const struct axis *axes, uint32_t count, uint32_t number,
                           struct sweep_setting *ret_setting, struct error *err)
{
    *ret_setting = (struct sweep_setting){.count = count};
    for (uint32_t i = count; i-- > 0; number /= axes[i].count) {
        const uint32_t at = number % axes[i].count;
        snprintf(ret_setting->sets[i], SWEEP_SET_MAX, "%.*s=%.*s", (int)axes[i].key_size,
                 axes[i].text, (int)axes[i].sizes[at], axes[i].values[at]);
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *const set = ret_setting->sets[i];
        if ((i > 0 && !append(ret_setting->name, SWEEP_NAME_MAX, " ", 1)) ||
            !append(ret_setting->name, SWEEP_NAME_MAX, set, strlen(set)) ||
            !append_folder(ret_setting->folder, set))
            return error_set(err, STATUS_LIMIT,
                             "--sweep: %s is too long for the name of a folder, "
                             "at most %d bytes are wanted",
                             set, SWEEP_FOLDER_MAX - 1);
    }
    if (count == 0) {
        snprintf(ret_setting->name, SWEEP_NAME_MAX, "as configured");
        snprintf(ret_setting->folder, SWEEP_FOLDER_MAX, "as-configured");
    }
    return STATUS_OK;
}

enum status sweep_plan_parse(const struct option_list *sweeps, const struct option_list *sets,
                             struct sweep_plan *ret_plan, struct error *err)
{
    struct axis axes[SWEEP_KEYS_MAX];
    enum status status = STATUS_OK;
    uint32_t settings = 1;
    if (sweeps->count > SWEEP_KEYS_MAX)
        return error_set(err, STATUS_LIMIT, "--sweep is given %u times, at most %d are wanted",
                         sweeps->count, SWEEP_KEYS_MAX);
    for (uint32_t i = 0; i < sweeps->count && status == STATUS_OK; i++) {
        status = read_axis(sweeps->items[i], &axes[i], err);
        if (status == STATUS_OK)
            status = check_once(&axes[i], axes, i, sets, err);
        if (status == STATUS_OK)
            settings *= axes[i].count;
        if (status == STATUS_OK && settings > SWEEP_SETTINGS_MAX)
            status = error_set(err, STATUS_LIMIT,
                               "--sweep: %u combinations and more, at most %d are wanted", settings,
                               SWEEP_SETTINGS_MAX);
    }
    if (status == STATUS_OK)
        ret_plan->count = settings;
    for (uint32_t i = 0; i < settings && status == STATUS_OK; i++)
        status = combine(axes, sweeps->count, i, &ret_plan->settings[i], err);
    return status;
}
