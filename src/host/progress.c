/*
 * progress.c - bars and sparklines.
 */
#include "host/progress.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

enum { LEVELS = 8 };

static char *put(char *at, const char *text)
{
    const size_t size = strlen(text);
    memcpy(at, text, size + 1);
    return at + size;
}

void progress_bar(double share, uint32_t width, bool utf8, char ret_text[static PROGRESS_TEXT_MAX])
{
    CHECK(width > 0 && width <= PROGRESS_WIDTH_MAX);
    const double bounded = share > 0 ? (share < 1 ? share : 1) : 0;
    const uint32_t full = (uint32_t)(bounded * width);
    char *at = ret_text;
    for (uint32_t i = 0; i < width; i++) {
        if (i < full)
            at = put(at, utf8 ? "\u2588" : "#");
        else
            at = put(at, utf8 ? "\u2591" : "-");
    }
}

/* The mean of the finite values of [first, end); NaN where there are none. */
static double mean_of(const double *values, size_t first, size_t end)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = first; i < end; i++) {
        if (!isfinite(values[i]))
            continue;
        sum += values[i];
        count++;
    }
    return count > 0 ? sum / (double)count : (double)NAN;
}

static const char *glyph(double value, double least, double greatest, bool utf8)
{
    static const char *const blocks[LEVELS] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                               "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const ascii[LEVELS] = {"_", ".", ",", "-", "=", "+", "*", "#"};
    if (!isfinite(value))
        return " ";
    const double range = greatest - least;
    uint32_t level = range > 0 ? (uint32_t)((value - least) / range * LEVELS) : 0;
    if (level >= LEVELS)
        level = LEVELS - 1;
    return utf8 ? blocks[level] : ascii[level];
}

void progress_sparkline(const double *values, size_t count, uint32_t width, bool utf8,
                        char ret_text[static PROGRESS_TEXT_MAX])
{
    double cells[PROGRESS_WIDTH_MAX];
    double least = (double)INFINITY;
    double greatest = -(double)INFINITY;
    CHECK(width > 0 && width <= PROGRESS_WIDTH_MAX);
    const size_t used = count < width ? count : width;
    for (size_t i = 0; i < used; i++) {
        cells[i] = mean_of(values, i * count / used, (i + 1) * count / used);
        if (isfinite(cells[i])) {
            least = cells[i] < least ? cells[i] : least;
            greatest = cells[i] > greatest ? cells[i] : greatest;
        }
    }
    char *at = put(ret_text, "");
    for (size_t i = 0; i < used; i++)
        at = put(at, glyph(cells[i], least, greatest, utf8));
}
