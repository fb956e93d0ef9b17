/*
 * recipe.c - a rule, what goes before it and their parameters, from text; what f they allow.
 */
#include "base/check.h"
#include "base/text.h"
#include "robust/rule_table.h"

#include <math.h>
#include <string.h>

enum { LIST_MAX = 320, SHOWN_MAX = 64, DIGITS_MAX = 15, POWER_MAX = 22 };

/* Share of the updates that f is where none is given, in percent. */
enum { TOLERANCE_PERCENT = 30 };

/* The names of rules [first, last) that need no samples, separated by ", ". */
static const char *list_rules(enum rule_id first, enum rule_id last, char ret_list[static LIST_MAX])
{
    size_t used = 0;
    ret_list[0] = 0;
    for (int id = (int)first; id < (int)last && used < LIST_MAX; id++) {
        if (rule_get((enum rule_id)id)->needs_samples)
            continue;
        used += (size_t)snprintf(ret_list + used, LIST_MAX - used, "%s%s", used > 0 ? ", " : "",
                                 rule_get((enum rule_id)id)->name);
    }
    return ret_list;
}

static bool find_rule(const char *name, enum rule_id first, enum rule_id last, enum rule_id *ret_id)
{
    for (int id = (int)first; id < (int)last; id++) {
        if (strcmp(rule_get((enum rule_id)id)->name, name) == 0) {
            *ret_id = (enum rule_id)id;
            return true;
        }
    }
    return false;
}

enum status recipe_set_rule(struct recipe *recipe, const char *name, struct error *err)
{
    char list[LIST_MAX];
    char shown[SHOWN_MAX];
    enum rule_id id = RULE_MEAN;
    const bool is_rule = find_rule(name, RULE_MEAN, RULE_NNM, &id);
    if (is_rule && rule_get(id)->needs_samples)
        return error_set(err, STATUS_INVAL,
                         "%s needs trusted samples, which only the rounds of a federation have "
                         "(robust.rule); there is: %s",
                         rule_get(id)->name, list_rules(RULE_MEAN, RULE_NNM, list));
    if (is_rule) {
        recipe->rule = id;
        return STATUS_OK;
    }
    text_escape(name, strlen(name), shown, sizeof(shown));
    if (find_rule(name, RULE_NNM, RULE_COUNT, &id))
        return error_set(err, STATUS_INVAL,
                         "%s is not a rule but goes before one; the rules are: %s", shown,
                         list_rules(RULE_MEAN, RULE_NNM, list));
    return error_set(err, STATUS_INVAL, "there is no rule %s; there is: %s", shown,
                     list_rules(RULE_MEAN, RULE_NNM, list));
}

enum status recipe_add_pre(struct recipe *recipe, const char *name, struct error *err)
{
    char list[LIST_MAX];
    char shown[SHOWN_MAX];
    enum rule_id id = RULE_NNM;
    if (recipe->pre_count == RULE_PRE_MAX)
        return error_set(err, STATUS_LIMIT, "at most %d may go before a rule", RULE_PRE_MAX);
    if (find_rule(name, RULE_NNM, RULE_COUNT, &id)) {
        recipe->pre[recipe->pre_count++] = id;
        return STATUS_OK;
    }
    text_escape(name, strlen(name), shown, sizeof(shown));
    return error_set(err, STATUS_INVAL, "there is no %s to go before a rule; there is: %s", shown,
                     list_rules(RULE_NNM, RULE_COUNT, list));
}

/*
 * A decimal number of at most 15 digits and a power of ten that doubles hold exactly, so that one
 * operation rounds it right in every locale. False: not such a number.
 */
static bool parse_real(const char *text, double *ret_value)
{
    double digits = 0;
    int digit_count = 0;
    int power = 0;
    bool has_point = false;
    const char *p = text;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !has_point); p++) {
        if (*p == '.') {
            has_point = true;
            continue;
        }
        digits = digits * 10 + (*p - '0');
        power -= has_point ? 1 : 0;
        if (++digit_count > DIGITS_MAX)
            return false;
    }
    if (digit_count > 0 && (*p == 'e' || *p == 'E')) {
        const bool is_negative = p[1] == '-';
        int exponent = 0;
        p += p[1] == '-' || p[1] == '+' ? 2 : 1;
        if (*p < '0' || *p > '9')
            return false;
        for (; *p >= '0' && *p <= '9' && exponent < 1000; p++)
            exponent = exponent * 10 + (*p - '0');
        power += is_negative ? -exponent : exponent;
    }
    if (digit_count == 0 || *p != 0 || power < -POWER_MAX - DIGITS_MAX || power > POWER_MAX)
        return false;
    double ten_to_power = 1;
    const int steps = power < 0 ? -power : power;
    for (int i = 0; i < steps; i++)
        ten_to_power *= 10;
    *ret_value = power < 0 ? digits / ten_to_power : digits * ten_to_power;
    return true;
}

static enum status refuse_value(const struct param_spec *spec, const char *value, struct error *err)
{
    char shown[SHOWN_MAX];
    text_escape(value, strlen(value), shown, sizeof(shown));
    if (spec->kind == PARAM_CHOICE)
        return error_set(err, STATUS_INVAL, "%s is %s; it may be %s or %s", spec->name, shown,
                         spec->choices[0], spec->choices[1]);
    return error_set(err, STATUS_INVAL, "%s is %s; it must be a %s from %.15g to %.15g", spec->name,
                     shown, spec->kind == PARAM_WHOLE ? "whole number" : "number", spec->min,
                     spec->max);
}

static enum status parse_value(const struct param_spec *spec, const char *text, double *ret_value,
                               struct error *err)
{
    double value = 0;
    if (spec->kind == PARAM_CHOICE) {
        for (int i = 0; i < 2; i++) {
            if (strcmp(text, spec->choices[i]) == 0) {
                *ret_value = i;
                return STATUS_OK;
            }
        }
        return refuse_value(spec, text, err);
    }
    if (!parse_real(text, &value) || value < spec->min || value > spec->max ||
        (spec->kind == PARAM_WHOLE && value != floor(value)))
        return refuse_value(spec, text, err);
    *ret_value = value;
    return STATUS_OK;
}

enum status recipe_set_param(struct recipe *recipe, const char *setting, struct error *err)
{
    char shown[SHOWN_MAX];
    char list[LIST_MAX];
    size_t used = 0;
    const char *const equals = strchr(setting, '=');
    text_escape(setting, strlen(setting), shown, sizeof(shown));
    if (equals == nullptr)
        return error_set(err, STATUS_INVAL, "%s is no setting; one is NAME=VALUE", shown);
    for (int i = 0; i < PARAM_COUNT; i++) {
        const struct param_spec *const spec = param_get((enum param)i);
        if (strlen(spec->name) == (size_t)(equals - setting) &&
            memcmp(spec->name, setting, strlen(spec->name)) == 0) {
            const enum status status = parse_value(spec, equals + 1, &recipe->values[i], err);
            recipe->is_set[i] = recipe->is_set[i] || status == STATUS_OK;
            return status;
        }
        used += (size_t)snprintf(list + used, LIST_MAX - used, "%s%s", used > 0 ? ", " : "",
                                 spec->name);
    }
    return error_set(err, STATUS_INVAL, "there is no parameter in %s; there is: %s", shown, list);
}

static const struct rule_param *find_param(enum rule_id rule, enum param param)
{
    const struct rule_spec *const spec = rule_get(rule);
    for (uint32_t i = 0; i < spec->param_count; i++) {
        if (spec->params[i].param == param)
            return &spec->params[i];
    }
    return nullptr;
}

static bool has_param(const struct recipe *recipe, enum param param)
{
    bool has = find_param(recipe->rule, param) != nullptr;
    for (uint32_t i = 0; i < recipe->pre_count; i++)
        has = has || find_param(recipe->pre[i], param) != nullptr;
    return has;
}

enum status recipe_check(const struct recipe *recipe, struct error *err)
{
    char list[LIST_MAX] = "none";
    size_t used = 0;
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (has_param(recipe, (enum param)i))
            used += (size_t)snprintf(list + used, LIST_MAX - used, "%s%s", used > 0 ? ", " : "",
                                     param_get((enum param)i)->name);
    }
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (recipe->is_set[i] && !has_param(recipe, (enum param)i))
            return error_set(err, STATUS_INVAL, "rule %s%s has no parameter %s; it has: %s",
                             rule_get(recipe->rule)->name,
                             recipe->pre_count > 0 ? " with what goes before it" : "",
                             param_get((enum param)i)->name, list);
    }
    if (rule_get(recipe->rule)->needs_samples && recipe->pre_count > 0)
        return error_set(err, STATUS_INVAL, "nothing may go before %s, which begins with a filter",
                         rule_get(recipe->rule)->name);
    if (recipe->has_f && recipe->is_set[PARAM_BETA])
        return error_set(err, STATUS_INVAL, "both f and beta are given; beta stands in place of f");
    return STATUS_OK;
}

bool recipe_uses_distances(const struct recipe *recipe)
{
    return recipe->pre_count > 0 || rule_get(recipe->rule)->uses_distances;
}

bool recipe_uses_f(const struct recipe *recipe)
{
    bool uses = rule_get(recipe->rule)->uses_f;
    for (uint32_t i = 0; i < recipe->pre_count; i++)
        uses = uses || rule_get(recipe->pre[i])->uses_f;
    return uses;
}

bool recipe_uses_seed(const struct recipe *recipe)
{
    return has_param(recipe, PARAM_SEED);
}

double recipe_value(const struct recipe *recipe, enum rule_id rule, enum param param)
{
    const struct rule_param *const own = find_param(rule, param);
    CHECK(own != nullptr);
    return recipe->is_set[param] ? recipe->values[param] : own->fallback;
}

uint64_t recipe_trim(double beta, uint64_t n)
{
    /* 0.29 * 100 is a little under 29 in binary. */
    return (uint64_t)floor(beta * (double)n + 1e-9);
}

/* How many updates a part needs at least where f of them lie. */
static uint64_t least_updates(const struct recipe *recipe, enum rule_id id, uint64_t f)
{
    const struct rule_spec *const spec = rule_get(id);
    const bool is_byzfl = (id == RULE_KRUM || id == RULE_MULTI_KRUM) &&
                          recipe_value(recipe, id, PARAM_NEIGHBOURS) == NEIGHBOURS_BYZFL;
    return spec->updates_per_f * f + (is_byzfl ? 1 : spec->updates_least);
}

/* Whether all parts allow f among n; *ret_part is the first that does not, *ret_n what it gets. */
static bool is_allowed(const struct recipe *recipe, uint64_t n, uint64_t f, enum rule_id *ret_part,
                       uint64_t *ret_n)
{
    for (uint32_t i = 0; i <= recipe->pre_count; i++) {
        const enum rule_id part = i < recipe->pre_count ? recipe->pre[i] : recipe->rule;
        if (n < least_updates(recipe, part, f)) {
            *ret_part = part;
            *ret_n = n;
            return false;
        }
        if (part == RULE_BUCKETING) {
            const uint64_t s = (uint64_t)recipe_value(recipe, part, PARAM_S);
            n = n / s + (n % s != 0);
        }
    }
    return true;
}

static enum status refuse_f(const struct recipe *recipe, enum rule_id part, uint64_t n, uint64_t f,
                            struct error *err)
{
    const uint64_t per_f = rule_get(part)->updates_per_f;
    const uint64_t least = least_updates(recipe, part, 0);
    const uint64_t needed = least_updates(recipe, part, f);
    if (f == 0 || n < least)
        return error_set(err, STATUS_INVAL, "rule %s needs at least %llu updates; there are %llu",
                         rule_get(part)->name, (unsigned long long)least, (unsigned long long)n);
    return error_set(err, STATUS_INVAL,
                     "f is %llu, but %s needs n >= %llu f + %llu = %llu updates and gets %llu; f "
                     "may be at most %llu",
                     (unsigned long long)f, rule_get(part)->name, (unsigned long long)per_f,
                     (unsigned long long)least, (unsigned long long)needed, (unsigned long long)n,
                     (unsigned long long)((n - least) / per_f));
}

enum status recipe_find_f(const struct recipe *recipe, uint64_t n, uint64_t *ret_f,
                          struct error *err)
{
    enum rule_id part = recipe->rule;
    uint64_t part_n = n;
    if (recipe->has_f && recipe->f >= n)
        return error_set(err, STATUS_INVAL, "f is %llu; it must be less than the %llu updates",
                         (unsigned long long)recipe->f, (unsigned long long)n);
    uint64_t f = recipe->has_f           ? recipe->f
                 : recipe_uses_f(recipe) ? (n * TOLERANCE_PERCENT + 99) / 100
                                         : 0;
    if (!recipe->has_f && recipe->is_set[PARAM_BETA])
        f = recipe_trim(recipe->values[PARAM_BETA], n);
    while (!is_allowed(recipe, n, f, &part, &part_n)) {
        if (recipe->has_f || f == 0)
            return refuse_f(recipe, part, part_n, f, err);
        f--;
    }
    *ret_f = f;
    return STATUS_OK;
}
