/*
 * sim_world.c - the queue of what happens, clocks, chance, and the story.
 */
#include "sim/sim_internal.h"

#include "core/trace_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void *sim_grow(void *array, uint64_t *capacity, uint64_t index, size_t size)
{
    if (index < *capacity)
        return array;
    const uint64_t wanted = 2 * index < 64 ? 64 : 2 * index;
    char *const grown = realloc(array, wanted * size);
    CHECK(grown != nullptr);
    memset(grown + *capacity * size, 0, (wanted - *capacity) * size);
    *capacity = wanted;
    return grown;
}

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

struct happening *sim_happening(struct world *w, enum happening_kind kind, uint32_t process,
                                uint64_t delay_ns)
{
    struct happening *const happening = calloc(1, sizeof(*happening));
    CHECK(happening != nullptr);
    happening->at_ns = w->now_ns + delay_ns;
    happening->kind = kind;
    happening->process = process;
    happening->incarnation = sim_process(w, process)->incarnation;
    bytes_init(&happening->bytes, SIZE_MAX / 2);
    return happening;
}

void sim_happening_free(struct happening *happening)
{
    bytes_deinit(&happening->bytes);
    payload_unref(happening->payload);
    model_file_unref(happening->model);
    commit_free(happening->commit);
    free(happening);
}

/* A binary heap: the earliest first, of equals the one that was pushed first. */
void sim_push(struct world *w, struct happening *happening)
{
    w->heap = sim_grow(w->heap, &w->heap_capacity, w->heap_count, sizeof(struct happening *));
    happening->order = ++w->order;
    uint64_t i = w->heap_count++;
    for (; i > 0 && before(happening, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = happening;
}

struct happening *sim_pop(struct world *w)
{
    struct happening *const first = w->heap[0];
    struct happening *const last = w->heap[--w->heap_count];
    uint64_t i = 0;
    for (;;) {
        uint64_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && before(w->heap[child + 1], w->heap[child]))
            child++;
        if (!before(w->heap[child], last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_count > 0)
        w->heap[i] = last;
    return first;
}

struct envelope_limits sim_limits(const struct world *w)
{
    return (struct envelope_limits){.payload_bytes_max = w->layout->bytes + SIM_HEADER_ROOM,
                                    .codecs = 1};
}

uint64_t sim_delay(struct world *w)
{
    const uint64_t ticks = w->plan->delay_max_ns / w->plan->tick_ns;
    return (1 + random_below(&w->random, ticks)) * w->plan->tick_ns;
}

bool sim_strikes(struct world *w, enum sim_fault fault, double chance)
{
    if (w->healed || chance <= 0 || random_unit(&w->random) >= chance)
        return false;
    w->result->happened[fault]++;
    return true;
}

struct process *sim_process(struct world *w, uint32_t process)
{
    return process == COORDINATOR ? &w->server.process : &w->nodes[process].process;
}

uint64_t sim_clock(const struct world *w, const struct process *process)
{
    const int64_t ahead = (int64_t)(w->now_ns / 1000000) * process->drift_ppm;
    return process->offset_ns + (uint64_t)((int64_t)w->now_ns + ahead);
}

void sim_set_timer(struct world *w, uint32_t process, uint64_t deadline_ns)
{
    struct process *const p = sim_process(w, process);
    p->timer_order = 0;
    if (deadline_ns == NO_DEADLINE)
        return;
    const uint64_t now_ns = sim_clock(w, p);
    const uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    /* By the world's clock: the process's own may then show less, and the machine sets it again. */
    struct happening *const timer = sim_happening(w, HAPPEN_TIMER, process, wait_ns);
    sim_push(w, timer);
    p->timer_order = timer->order;
}

uint32_t sim_node_index(const char *name)
{
    return (uint32_t)strtoul(strrchr(name, '-') + 1, nullptr, 10);
}

const char *sim_who(uint32_t process)
{
    static char name[16];
    if (process == COORDINATOR)
        return "coordinator";
    snprintf(name, sizeof(name), "n%04u", process);
    return name;
}

static const char *member_name(const struct world *w, uint32_t member)
{
    return member == NO_MEMBER ? nullptr : strrchr(w->server.members[member].name, '/') + 1;
}

void sim_mix(struct world *w, uint64_t word)
{
    w->result->trace_digest = (w->result->trace_digest ^ word) * 0x100000001b3u;
}

void sim_tell(struct world *w, const struct traces *traces, uint32_t process)
{
    for (uint32_t i = 0; i < traces->count; i++) {
        struct trace_record record = traces->items[i];
        record.now_ns = w->now_ns; /* of the world, not of the process's clock */
        const uint64_t words[] = {w->now_ns,   record.a,      record.b, record.member,
                                  record.kind, record.reason, process};
        for (size_t j = 0; j < sizeof(words) / sizeof(*words); j++)
            sim_mix(w, words[j]);
        if (w->story == nullptr)
            continue;
        char line[256];
        trace_text(&record, sim_who(process), member_name(w, record.member), line, sizeof(line));
        fprintf(w->story, "%s\n", line);
    }
}

void sim_narrate(struct world *w, const char *format, ...)
{
    if (w->story == nullptr)
        return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(w->story, "%9.3f s  world: ", (double)w->now_ns / 1e9);
    vfprintf(w->story, format, arguments);
    fputc('\n', w->story);
    va_end(arguments);
}

void sim_fail(struct world *w, const char *format, ...)
{
    char text[SIM_FAILURE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sim_narrate(w, "WRONG: %s", text);
    if (w->result->failed)
        return;
    w->result->failed = true;
    memcpy(w->result->failure, text, sizeof(text));
}
