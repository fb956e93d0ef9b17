/*
 * central.c - see central.h.
 */
#include "host/central.h"

#include "base/check.h"
#include "host/clock.h"
#include "host/job_pool.h"
#include "train/evaluate.h"
#include "train/trainer.h"

#include <stdlib.h>

struct watch {
    central_progress *progress;
    void *context;
    uint64_t epochs;
    uint64_t epochs_done;
};

static void on_step(void *context, uint64_t steps, uint64_t steps_total)
{
    struct watch *const watch = context;
    const uint64_t steps_per_epoch = steps_total / watch->epochs;
    if (steps / steps_per_epoch == watch->epochs_done)
        return;
    watch->epochs_done = steps / steps_per_epoch;
    if (watch->progress != nullptr)
        watch->progress(watch->context, watch->epochs_done, watch->epochs);
}

/* model  f32[parameters], in: the initial model; out: the trained one. */
static enum status train(const struct config *config, const struct model_spec *spec,
                         const struct dataset *data, struct watch *watch, float *model,
                         struct error *err)
{
    const struct sgd_settings settings = {.local_epochs = (uint32_t)config->central.epochs,
                                          .batch_size = (uint32_t)config->central.batch_size,
                                          .learning_rate = (float)config->central.learning_rate};
    const struct sgd_key key = {.seed = config->job.seed, .node = trainer_node_key("central")};
    const struct sgd_watch sgd_watch = {.progress = on_step, .context = watch};
    const uint32_t parameters = model_spec_parameters(spec);
    struct sgd_result result;
    struct sgd *sgd = nullptr;
    float *const delta = malloc(sizeof(*delta) * parameters);
    enum status status = delta != nullptr
                             ? sgd_create(spec, &settings, &sgd, err)
                             : error_set(err, STATUS_NO_MEMORY, "no memory for the model");
    if (status == STATUS_OK)
        status = sgd_train(sgd, &key, data, model, &sgd_watch, delta, &result, err);
    for (uint32_t i = 0; i < parameters && status == STATUS_OK; i++)
        model[i] -= delta[i];
    sgd_destroy(sgd);
    free(delta);
    return status;
}

enum status central_train(const struct config *config, central_progress *progress, void *context,
                          struct central_result *ret_result, struct error *err)
{
    struct watch watch = {progress, context, config->central.epochs, 0};
    struct model_spec spec;
    struct dataset data = {0};
    struct dataset test = {0};
    struct evaluation evaluation;
    float *model = nullptr;
    uint64_t begun_ns = 0;
    uint64_t ended_ns = 0;
    CHECK(config->central.epochs > 0);
    enum status status = job_model_spec(config, &spec, err);
    if (status == STATUS_OK)
        status = job_load_pool(config, &data, err);
    if (status == STATUS_OK)
        status = job_load_test(config, &test, err);
    if (status != STATUS_OK)
        goto out;
    model = malloc(sizeof(*model) * model_spec_parameters(&spec));
    if (model == nullptr) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the model");
        goto out;
    }
    model_spec_initial(&spec, config->job.seed, model);
    begun_ns = clock_boot_ns();
    status = train(config, &spec, &data, &watch, model, err);
    ended_ns = clock_boot_ns();
    if (status == STATUS_OK)
        status = evaluate_model(&spec, model, &test, &evaluation, err);
    if (status == STATUS_OK)
        *ret_result = (struct central_result){.accuracy = evaluation.accuracy,
                                              .loss = evaluation.loss,
                                              .samples = data.samples,
                                              .epochs = config->central.epochs,
                                              .seconds = (double)(ended_ns - begun_ns) / 1e9};
out:
    free(model);
    dataset_deinit(&data);
    dataset_deinit(&test);
    return status;
}
