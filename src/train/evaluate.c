/*
 * evaluate.c - loss and accuracy, a batch at a time.
 */
#include "train/evaluate.h"

#include "train/network.h"

enum { BATCH = 256 }; /* samples; 0.8 MB of 28x28 inputs */

enum status evaluate_model(const struct model_spec *spec, const float *parameters,
                           const struct dataset *data, struct evaluation *ret_evaluation,
                           struct error *err)
{
    struct network *network = nullptr;
    enum status status = network_create(spec, BATCH, &network, err);
    if (status == STATUS_OK)
        status = network_check_data(spec, data, err);
    if (status != STATUS_OK)
        goto out;
    double loss = 0;
    uint64_t right = 0;
    for (uint32_t first = 0; first < data->samples; first += BATCH) {
        const uint32_t left = data->samples - first;
        network_forward(network, parameters, data, nullptr, first, left < BATCH ? left : BATCH);
        loss += network_loss(network, &right);
    }
    *ret_evaluation = (struct evaluation){
        .loss = loss / data->samples,
        .accuracy = (double)right / data->samples,
        .samples = data->samples,
    };
out:
    network_destroy(network);
    return status;
}
