/*
 * federation_sim_world.c - the queue of happenings, connections that break, and what is told over
 * them.
 */
#include "federation_sim_internal.h"

#include "core/trace_text.h"

#include <stdlib.h>
#include <string.h>

void sim_name_of(uint32_t node, char ret[static 32])
{
    snprintf(ret, 32, "spiffe://t/fedra/node/n%04u", node);
}

uint32_t sim_node_of(const char *name)
{
    return (uint32_t)strtoul(name + strlen("spiffe://t/fedra/node/n"), nullptr, 10);
}

struct digest sim_make_digest(uint64_t a, uint64_t b, uint64_t c)
{
    struct random random;
    struct digest digest;
    random_init(&random, a, b, c);
    for (int i = 0; i < 4; i++) {
        const uint64_t word = random_u64(&random);
        memcpy(digest.bytes + 8 * i, &word, 8);
    }
    return digest;
}

uint64_t sim_load_first(const struct digest *digest)
{
    uint64_t word = 0;
    memcpy(&word, digest->bytes, sizeof(word));
    return word;
}

void *sim_grow(void *array, uint64_t *capacity, uint64_t index, size_t size)
{
    if (index < *capacity)
        return array;
    const uint64_t now = 2 * index < 64 ? 64 : 2 * index;
    char *const grown = realloc(array, now * size);
    CHECK(grown != nullptr);
    memset(grown + *capacity * size, 0, (now - *capacity) * size);
    *capacity = now;
    return grown;
}

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_push_happening(struct world *w, struct happening happening)
{
    if (w->heap_count == w->heap_capacity) {
        w->heap_capacity = w->heap_capacity > 0 ? 2 * w->heap_capacity : 1024;
        w->heap = realloc(w->heap, sizeof(*w->heap) * w->heap_capacity);
        CHECK(w->heap != nullptr);
    }
    happening.order = w->order++;
    uint32_t i = w->heap_count++;
    for (; i > 0 && before(&happening, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = happening;
}

struct happening sim_pop_happening(struct world *w)
{
    const struct happening first = w->heap[0];
    const struct happening last = w->heap[--w->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->heap_count > 0)
        w->heap[i] = last;
    return first;
}

uint64_t sim_delay(struct world *w)
{
    return 1 + random_below(&w->random, w->settings.delay_max_ns);
}

struct happening sim_at(struct world *w, enum happening_kind kind, uint64_t delay_ns)
{
    return (struct happening){.at_ns = w->now_ns + delay_ns, .kind = kind};
}

void sim_tell(struct world *w, const struct traces *traces, const char *who)
{
    for (uint32_t i = 0; i < traces->count; i++) {
        const struct trace_record *const r = &traces->items[i];
        const uint64_t words[] = {r->now_ns, r->a, r->b, r->member, r->kind, r->reason};
        for (size_t j = 0; j < sizeof(words) / sizeof(*words); j++)
            w->result.trace_digest = (w->result.trace_digest ^ words[j]) * 0x100000001b3u;
        if (w->settings.story == nullptr)
            continue;
        char line[256];
        const char *const member =
            r->member == NO_MEMBER ? nullptr : strrchr(w->members[r->member].name, '/') + 1;
        trace_text(r, who, member, line, sizeof(line));
        fprintf(w->settings.story, "%s\n", line);
    }
}

void sim_narrate(struct world *w, const char *who, const char *what)
{
    if (w->settings.story != nullptr)
        fprintf(w->settings.story, "%9.3f s  %s: %s\n", (double)w->now_ns / 1e9, who, what);
}

/* Whether the world drops this one: then the connection it went over is broken. */
bool sim_lost(struct world *w)
{
    return !sim_faults_are_over(w) && random_unit(&w->random) < w->settings.loss;
}

void sim_break_connection(struct world *w, uint64_t session)
{
    struct connection *const connection = &w->connections[session];
    if (session == 0 || !connection->open)
        return;
    connection->open = false;
    struct sim_node *const node = &w->nodes[connection->node];
    if (node->session == session) {
        node->session = 0;
        struct happening event = sim_at(w, TO_NODE, sim_delay(w));
        event.node = connection->node;
        event.incarnation = connection->node_incarnation;
        if (node->push_id != 0) { /* exactly one completion: the call failed with its connection */
            event.node_event = (struct node_event){
                .kind = NODE_EV_RECEIPT, .id = node->push_id, .status = STATUS_UNREACHABLE};
            node->push_id = 0;
            sim_push_happening(w, event);
        }
        event.node_event = (struct node_event){.kind = NODE_EV_LOST};
        event.at_ns += w->settings.delay_max_ns;
        sim_push_happening(w, event);
    }
    struct happening leave = sim_at(w, TO_COORDINATOR, sim_delay(w));
    leave.incarnation = w->incarnation;
    leave.event = (struct coordinator_event){.kind = EV_LEAVE, .session = session};
    sim_push_happening(w, leave);
}

/* Over the Join stream: in order, or the connection breaks. */
void sim_send_directive(struct world *w, uint64_t session, const struct node_event *event)
{
    struct connection *const connection = &w->connections[session];
    if (session == 0 || !connection->open || connection->broken)
        return;
    if (sim_lost(w)) {
        connection->broken = true;
        struct happening broken = sim_at(w, BREAK, sim_delay(w));
        broken.session = session;
        sim_push_happening(w, broken);
        return;
    }
    struct happening directive = sim_at(w, DIRECTIVE, sim_delay(w));
    if (directive.at_ns <= connection->last_ns)
        directive.at_ns = connection->last_ns + 1;
    connection->last_ns = directive.at_ns;
    directive.session = session;
    directive.node_event = *event;
    sim_push_happening(w, directive);
}

void sim_complete(struct world *w, const struct coordinator_effect *effect,
                  struct coordinator_event event)
{
    struct happening happening = sim_at(w, TO_COORDINATOR, sim_delay(w));
    happening.incarnation = w->incarnation;
    happening.event = event;
    happening.event.id = effect->id;
    sim_push_happening(w, happening);
}

bool sim_faults_are_over(const struct world *w)
{
    return w->settings.faults_end_ns > 0 && w->now_ns >= w->settings.faults_end_ns;
}

void sim_check_durable(struct world *w, const struct version_ref *version)
{
    if (version->number >= ROUNDS_MAX || !w->committed[version->number].used ||
        !digest_equal(&w->committed[version->number].version.id, &version->id))
        w->result.sent_before_durable++;
}

void sim_send_beacon(struct world *w, uint64_t session)
{
    const struct coordinator *const c = &w->coordinator;
    sim_check_durable(w, &c->version);
    sim_check_beacon(w, session);
    const struct node_event event = {
        .kind = NODE_EV_BEACON,
        .beacon = {
            .epoch = c->epoch, .round = c->round, .attempt = c->attempt, .version = c->version}};
    sim_send_directive(w, session, &event);
}

void sim_send_settled(struct world *w, uint64_t session, bool counted, const struct update_key *key,
                      uint64_t number, enum reason reason)
{
    const struct node_event event = {
        .kind = counted ? NODE_EV_COUNTED : NODE_EV_DROPPED,
        .settled = {.key = *key, .version_number = number, .reason = reason}};
    sim_send_directive(w, session, &event);
}

void sim_answer_ticket(struct world *w, uint64_t id, bool accepted, enum reason reason)
{
    struct ticket *const ticket = &w->tickets[id];
    if (ticket->push_id == 0)
        return;
    struct sim_node *const node = &w->nodes[ticket->node];
    if (node->incarnation == ticket->incarnation && node->push_id == ticket->push_id) {
        if (sim_lost(w)) {
            sim_break_connection(w, node->session);
        } else {
            node->push_id = 0;
            struct happening receipt = sim_at(w, TO_NODE, sim_delay(w));
            receipt.node = ticket->node;
            receipt.incarnation = ticket->incarnation;
            receipt.node_event =
                (struct node_event){.kind = NODE_EV_RECEIPT,
                                    .id = ticket->push_id,
                                    .receipt = {.accepted = accepted, .reason = reason}};
            sim_push_happening(w, receipt);
        }
    }
    ticket->push_id = 0;
}
