/*
 * rule_table_print.c - the table of rules for people: plain text and Markdown.
 */
#include "robust/rule_table.h"

#include <math.h>

enum { TEXT_MAX = 160 };

/* What f and n must be. */
static const char *show_bounds(const struct rule_spec *spec, char ret_text[static TEXT_MAX])
{
    if (spec->updates_per_f == 0)
        snprintf(ret_text, TEXT_MAX, "n >= %u", spec->updates_least);
    else if (spec->updates_per_f == 1)
        snprintf(ret_text, TEXT_MAX, "n >= f + %u", spec->updates_least);
    else
        snprintf(ret_text, TEXT_MAX, "n >= %u f + %u", spec->updates_per_f, spec->updates_least);
    return ret_text;
}

static const char *show_range(const struct param_spec *spec, char ret_text[static TEXT_MAX])
{
    if (spec->kind == PARAM_CHOICE)
        snprintf(ret_text, TEXT_MAX, "%s or %s", spec->choices[0], spec->choices[1]);
    else
        snprintf(ret_text, TEXT_MAX, "%s, %.15g to %.15g",
                 spec->kind == PARAM_WHOLE ? "whole number" : "number", spec->min, spec->max);
    return ret_text;
}

static const char *show_fallback(const struct rule_param *param, char ret_text[static TEXT_MAX])
{
    const struct param_spec *const spec = param_get(param->param);
    if (param->fallback_text != nullptr)
        return param->fallback_text;
    if (spec->kind == PARAM_CHOICE)
        return spec->choices[(int)param->fallback];
    snprintf(ret_text, TEXT_MAX, "%.15g", param->fallback);
    return ret_text;
}

static void print_rule(FILE *file, const struct rule_spec *spec)
{
    char text[TEXT_MAX];
    char fallback[TEXT_MAX];
    fprintf(file, "%s\n    %s\n", spec->name, spec->summary);
    fprintf(file, "    use:       %s\n", spec->when);
    fprintf(file, "    needs:     %s%s\n", show_bounds(spec, text),
            spec->uses_f ? "" : "; f does not change it");
    if (spec->needs_samples)
        fputs("    only:      in the rounds of a federation (robust.rule), with trusted samples\n",
              file);
    fprintf(file, "    breakdown: %s\n", spec->breakdown);
    fprintf(file, "    cost:      %s\n", spec->cost);
    fprintf(file, "    source:    %s\n", spec->paper);
    for (uint32_t i = 0; i < spec->param_count; i++) {
        const struct param_spec *const param = param_get(spec->params[i].param);
        fprintf(file, "    --set %s=VALUE  %s (%s; default %s)\n", param->name, param->help,
                show_range(param, text), show_fallback(&spec->params[i], fallback));
    }
    fputc('\n', file);
}

void rule_table_print(FILE *file)
{
    fputs("Rules (--rule):\n\n", file);
    for (uint32_t id = 0; id < RULE_COUNT; id++) {
        if (id == RULE_NNM)
            fputs("Before a rule (--pre, any number, in their order):\n\n", file);
        print_rule(file, rule_get((enum rule_id)id));
    }
}

static void print_rule_markdown(FILE *file, const struct rule_spec *spec)
{
    char text[TEXT_MAX];
    char fallback[TEXT_MAX];
    fprintf(file, "### `%s`\n\n%c%s.\n\n", spec->name,
            spec->summary[0] >= 'a' && spec->summary[0] <= 'z' && spec->summary[1] != ' '
                ? spec->summary[0] - 'a' + 'A'
                : spec->summary[0],
            spec->summary + 1);
    fprintf(file, "- Use: %s.\n", spec->when);
    fprintf(file, "- Needs: %s%s.\n", show_bounds(spec, text),
            spec->uses_f ? "" : "; `f` does not change it");
    if (spec->needs_samples)
        fputs("- Only in the rounds of a federation: `robust.rule`, with trusted samples "
              "(`validation.source` central or both).\n",
              file);
    fprintf(file, "- Breakdown: %s.\n", spec->breakdown);
    fprintf(file, "- Cost: %s.\n", spec->cost);
    fprintf(file, "- Source: %s.\n", spec->paper);
    for (uint32_t i = 0; i < spec->param_count; i++) {
        const struct param_spec *const param = param_get(spec->params[i].param);
        fprintf(file, "- `%s`: %s (%s; default %s).\n", param->name, param->help,
                show_range(param, text), show_fallback(&spec->params[i], fallback));
    }
    fputc('\n', file);
}

void rule_table_print_markdown(FILE *file)
{
    for (uint32_t id = 0; id < RULE_COUNT; id++) {
        if (id == 0 || id == RULE_NNM)
            fprintf(file, "## %s\n\n", id == 0 ? "Rules" : "Before a rule");
        print_rule_markdown(file, rule_get((enum rule_id)id));
    }
}
