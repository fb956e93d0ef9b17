/*
 * sgd.c - the loop of local training.
 */
#include "train/sgd.h"

#include "base/random.h"
#include "train/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_ORDER = 0x6f726472 };

struct sgd {
    struct model_spec spec;
    struct sgd_settings settings;
    uint32_t parameters;
    struct network *network;
    float *gradient; /* f32[parameters]; null where a plain step needs none */
    float *velocity; /* f32[parameters]; null without momentum */
    uint32_t *order; /* u32[order_capacity], kept from round to round */
    uint32_t order_capacity;
};

/* Whether a step is parameters -= rate * gradient and no more. */
static bool is_plain(const struct sgd_settings *settings)
{
    return settings->momentum == 0 && settings->weight_decay == 0 && settings->proximal_mu == 0;
}

enum status sgd_settings_check(const struct sgd_settings *settings, struct error *err)
{
    if (settings->local_epochs < 1 || settings->local_epochs > SGD_EPOCHS_MAX)
        return error_set(err, STATUS_INVAL, "%u local epochs; 1 to %d are right",
                         settings->local_epochs, (int)SGD_EPOCHS_MAX);
    if (settings->batch_size < 1 || settings->batch_size > SGD_BATCH_MAX)
        return error_set(err, STATUS_INVAL, "a batch size of %u; 1 to %d is right",
                         settings->batch_size, (int)SGD_BATCH_MAX);
    if (!(settings->learning_rate > 0) || !isfinite(settings->learning_rate))
        return error_set(err, STATUS_INVAL, "a local learning rate of %g; over 0 is right",
                         (double)settings->learning_rate);
    if (!(settings->momentum >= 0 && settings->momentum < 1))
        return error_set(err, STATUS_INVAL, "a local momentum of %g; 0 to under 1 is right",
                         (double)settings->momentum);
    if (!(settings->weight_decay >= 0) || !isfinite(settings->weight_decay))
        return error_set(err, STATUS_INVAL, "a weight decay of %g; 0 or more is right",
                         (double)settings->weight_decay);
    if (!(settings->proximal_mu >= 0) || !isfinite(settings->proximal_mu))
        return error_set(err, STATUS_INVAL, "a proximal mu of %g; 0 or more is right",
                         (double)settings->proximal_mu);
    return STATUS_OK;
}

enum status sgd_create(const struct model_spec *spec, const struct sgd_settings *settings,
                       struct sgd **ret_sgd, struct error *err)
{
    enum status status = sgd_settings_check(settings, err);
    if (status != STATUS_OK)
        return status;
    struct sgd *const sgd = calloc(1, sizeof(*sgd));
    if (sgd == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a trainer");
    sgd->spec = *spec;
    sgd->settings = *settings;
    status = network_create(spec, settings->batch_size, &sgd->network, err);
    if (status != STATUS_OK)
        goto out;
    sgd->parameters = model_spec_parameters(spec);
    if (!is_plain(settings))
        sgd->gradient = calloc(sgd->parameters, sizeof(float));
    if (settings->momentum != 0)
        sgd->velocity = calloc(sgd->parameters, sizeof(float));
    if ((!is_plain(settings) && sgd->gradient == nullptr) ||
        (settings->momentum != 0 && sgd->velocity == nullptr))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the gradient of %u parameters",
                           sgd->parameters);
out:
    if (status != STATUS_OK)
        sgd_destroy(sgd);
    else
        *ret_sgd = sgd;
    return status;
}

void sgd_destroy(struct sgd *sgd)
{
    if (sgd == nullptr)
        return;
    network_destroy(sgd->network);
    free(sgd->gradient);
    free(sgd->velocity);
    free(sgd->order);
    free(sgd);
}

/* Room for the order of count samples; kept for the next round. */
static enum status order_reserve(struct sgd *sgd, uint32_t count, struct error *err)
{
    if (count <= sgd->order_capacity)
        return STATUS_OK;
    uint32_t *const order = realloc(sgd->order, (size_t)count * sizeof(*order));
    if (order == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the order of %u samples", count);
    sgd->order = order;
    sgd->order_capacity = count;
    return STATUS_OK;
}

/* One step of torch.optim.SGD with FedProx's term, from the last forward; changes parameters. */
static void step(struct sgd *sgd, const float *base, float *parameters)
{
    const struct sgd_settings s = sgd->settings;
    if (is_plain(&s)) {
        network_backward(sgd->network, parameters, 1, -s.learning_rate, parameters);
        return;
    }
    network_backward(sgd->network, parameters, 0, 1, sgd->gradient);
    float *const gradient = sgd->gradient;
    const uint32_t count = sgd->parameters;
    for (uint32_t i = 0; i < count; i++)
        gradient[i] += s.weight_decay * parameters[i] + s.proximal_mu * (parameters[i] - base[i]);
    float *const velocity = sgd->velocity;
    if (velocity != nullptr) {
        for (uint32_t i = 0; i < count; i++) {
            velocity[i] = s.momentum * velocity[i] + gradient[i];
            gradient[i] = velocity[i];
        }
    }
    for (uint32_t i = 0; i < count; i++)
        parameters[i] -= s.learning_rate * gradient[i];
}

/* Turns trained parameters into base - trained, in place; false where one is not finite. */
static bool take_delta(const float *base, float *trained, uint32_t count)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < count; i++) {
        trained[i] = base[i] - trained[i];
        bad += !isfinite(trained[i]);
    }
    return bad == 0;
}

/* All batches of one epoch over sgd->order. */
static enum status run_epoch(struct sgd *sgd, const struct dataset *data, const float *base,
                             const struct sgd_watch *watch, uint64_t steps_total, float *parameters,
                             struct sgd_result *result, struct error *err)
{
    double loss = 0;
    uint64_t right = 0;
    for (uint32_t first = 0; first < data->samples; first += sgd->settings.batch_size) {
        if (watch != nullptr && watch->cancelled != nullptr && watch->cancelled(watch->context))
            return error_set(err, STATUS_CANCELLED, "training was cancelled at step %llu of %llu",
                             (unsigned long long)result->steps, (unsigned long long)steps_total);
        const uint32_t left = data->samples - first;
        const uint32_t count = left < sgd->settings.batch_size ? left : sgd->settings.batch_size;
        network_forward(sgd->network, parameters, data, sgd->order + first, 0, count);
        loss += network_loss(sgd->network, &right);
        step(sgd, base, parameters);
        result->steps++;
        if (watch != nullptr && watch->progress != nullptr)
            watch->progress(watch->context, result->steps, steps_total);
    }
    result->loss = loss / data->samples;
    return STATUS_OK;
}

enum status sgd_train(struct sgd *sgd, const struct sgd_key *key, const struct dataset *data,
                      const float *base, const struct sgd_watch *watch, float *ret_delta,
                      struct sgd_result *ret_result, struct error *err)
{
    enum status status = network_check_data(&sgd->spec, data, err);
    if (status == STATUS_OK)
        status = order_reserve(sgd, data->samples, err);
    if (status != STATUS_OK)
        return status;
    const uint32_t batch = sgd->settings.batch_size;
    const uint64_t steps_total = (uint64_t)sgd->settings.local_epochs *
                                 (data->samples / batch + (data->samples % batch > 0));
    struct sgd_result result = {.samples = data->samples};
    memcpy(ret_delta, base, sgd->parameters * sizeof(*ret_delta));
    if (sgd->velocity != nullptr)
        memset(sgd->velocity, 0, sgd->parameters * sizeof(*sgd->velocity));
    struct random random;
    random_init(&random, key->seed, STREAM_ORDER, key->node);
    random_init(&random, random_u64(&random), STREAM_ORDER, key->round);
    for (uint32_t epoch = 0; epoch < sgd->settings.local_epochs; epoch++) {
        for (uint32_t i = 0; i < data->samples; i++)
            sgd->order[i] = i;
        random_shuffle_u32(&random, sgd->order, data->samples);
        status = run_epoch(sgd, data, base, watch, steps_total, ret_delta, &result, err);
        if (status != STATUS_OK)
            return status;
    }
    if (!take_delta(base, ret_delta, sgd->parameters) || !isfinite(result.loss))
        return error_set(err, STATUS_INVAL,
                         "training gave values that are not finite; a lower learning rate than %g "
                         "helps, or the model received is broken",
                         (double)sgd->settings.learning_rate);
    *ret_result = result;
    return STATUS_OK;
}
