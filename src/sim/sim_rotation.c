/*
 * sim_rotation.c - nodes whose keys change in the middle of everything. As docs/adr/0007-renewal.md
 * has it: what is kept goes out under the key that the connection was joined with, and a refusal of
 * a key that is old says nothing of the update.
 *
 * Generation g of a key is valid from g halves of a life on, for a whole life; the identity is
 * renewed within a quarter of a life of that, and the connection made anew within another one,
 * break before make. A coordinator knows the keys of the Joins that it has seen, the last two of a
 * node. Not here: the coordinator's own key, which stays.
 */
#include "sim/sim_internal.h"

static bool rotates(const struct world *w)
{
    return (w->plan->faults & 1u << SIM_ROTATE) != 0 && !w->healed;
}

static uint64_t half_ns(const struct world *w)
{
    return w->plan->life_ns / 2;
}

static bool has_ended(const struct world *w, uint32_t generation)
{
    return w->now_ns >= generation * half_ns(w) + w->plan->life_ns;
}

/* Healed, nothing ends any more. */
static bool is_over(const struct world *w, uint32_t generation)
{
    return rotates(w) && has_ended(w, generation);
}

static bool is_valid(void *context, uint32_t index, uint32_t generation)
{
    const struct world *const w = (const struct world *)context;
    if (index >= w->plan->nodes)
        return true;
    const struct known *const known = &w->server.known[index];
    return (known->newest == generation + 1 || known->before == generation + 1) &&
           !is_over(w, generation);
}

static void make_signer(struct world *w, struct signer *signer, uint32_t index, uint32_t generation)
{
    if (w->mldsa != nullptr)
        mldsa_signer_init(signer, w->mldsa, index, generation);
    else
        keyed_signer_init(signer, &w->ring, index, generation);
}

void rotation_make(struct world *w)
{
    w->coordinator_ring = w->ring;
    w->coordinator_ring.is_valid = is_valid;
    w->coordinator_ring.context = w;
    w->mldsa = w->plan->is_mldsa ? mldsa_keys_create(&w->ring) : nullptr;
    w->mldsa_all = (struct mldsa_ring){w->mldsa, &w->ring};
    w->mldsa_coordinator = (struct mldsa_ring){w->mldsa, &w->coordinator_ring};
    if (w->mldsa != nullptr) {
        mldsa_verifier_init(&w->verifier, &w->mldsa_all);
        mldsa_verifier_init(&w->coordinator_verifier, &w->mldsa_coordinator);
    } else {
        keyed_verifier_init(&w->verifier, &w->ring);
        keyed_verifier_init(&w->coordinator_verifier, &w->coordinator_ring);
    }
    make_signer(w, &w->signer, w->plan->nodes, 0);
}

void rotation_free(struct world *w)
{
    mldsa_keys_destroy(w->mldsa);
}

static uint32_t generation_of(const struct world *w, const struct digest *key_id)
{
    return w->mldsa != nullptr ? mldsa_generation(w->mldsa, key_id) : keyed_generation(key_id);
}

uint32_t rotation_generation(const struct world *w, uint32_t index)
{
    return generation_of(w, &w->nodes[index].signer.key_id);
}

static void renew_later(struct world *w, uint32_t index)
{
    const uint64_t next_ns = (w->nodes[index].generation + 1) * half_ns(w);
    const uint64_t wait_ns = next_ns > w->now_ns ? next_ns - w->now_ns : 0;
    sim_push(w, sim_happening(w, HAPPEN_RENEW, index,
                              wait_ns + random_below(&w->random, half_ns(w) / 2)));
}

static void sign_under(struct world *w, uint32_t index, uint32_t generation)
{
    make_signer(w, &w->nodes[index].signer, index, generation);
}

void rotation_start(struct world *w, uint32_t index)
{
    sign_under(w, index, w->nodes[index].generation);
    if (!rotates(w))
        return;
    w->nodes[index].generation = (uint32_t)(w->now_ns / half_ns(w));
    sign_under(w, index, w->nodes[index].generation);
    renew_later(w, index);
}

void rotation_renew(struct world *w, struct happening *happening)
{
    const uint32_t index = happening->process;
    struct sim_node *const node = &w->nodes[index];
    if (!rotates(w))
        return;
    if (happening->flag) { /* the connection that was joined with the old key */
        if (node->session == happening->session)
            sim_break(w, node->session);
        return;
    }
    w->result->happened[SIM_ROTATE]++;
    node->generation = (uint32_t)(w->now_ns / half_ns(w));
    if (node->session == 0)
        sign_under(w, index, node->generation);
    struct happening *const again =
        sim_happening(w, HAPPEN_RENEW, index, random_below(&w->random, half_ns(w) / 2));
    again->flag = true;
    again->session = node->session;
    sim_push(w, again);
    renew_later(w, index);
}

bool rotation_join(struct world *w, uint32_t index, uint32_t generation)
{
    struct known *const known = &w->server.known[index];
    if (is_over(w, generation))
        return false;
    if (known->newest != generation + 1) {
        known->before = known->newest;
        known->newest = generation + 1;
    }
    return true;
}

void rotation_joined(struct world *w, uint32_t index, uint32_t generation)
{
    sign_under(w, index, generation);
}

void rotation_sign_again(struct world *w, uint32_t index, const struct envelope *kept,
                         struct bytes *ret_envelope)
{
    const struct signer *const signer = &w->nodes[index].signer;
    struct envelope_header header = kept->header;
    bytes_init(ret_envelope, ENVELOPE_BYTES_MAX);
    if (!digest_equal(&header.key_id, &signer->key_id))
        CHECK(envelope_seal(&header, signer, ret_envelope, nullptr) == STATUS_OK);
}

bool rotation_explains(const struct world *w, uint32_t index, uint32_t generation)
{
    return generation != rotation_generation(w, index) || has_ended(w, generation);
}
