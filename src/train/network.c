/*
 * network.c - linear layers with ReLU between them, on OpenBLAS's SGEMM.
 */
#include "train/network.h"

#include "base/check.h"

#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = MODEL_HIDDEN_MAX + 1 };

struct layer {
    uint32_t in;
    uint32_t out;
    uint32_t weight; /* offsets in the flat array */
    uint32_t bias;
};

struct network {
    uint32_t layers;
    uint32_t batch_max;
    uint32_t count; /* samples in the last batch */
    struct layer layer[LAYERS_MAX];
    /* values[0] the inputs, values[i + 1] what layer i gives, f32[batch_max][width]. */
    float *values[LAYERS_MAX + 1];
    float *errors[2]; /* the gradient by a layer's values, f32[batch_max][widest hidden or class] */
    uint8_t *labels;
};

/*
 * The serial OpenBLAS has one working buffer a process and no locks: two threads in it at a time
 * compute nonsense. A node trains on one thread, so the lock is free there.
 */
static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;

/* c[m][n] = beta * c + alpha * op(a) * op(b); op(a) is [m][k], op(b) is [k][n], dense rows. */
struct product {
    bool transpose_a; /* a is [k][m] */
    bool transpose_b; /* b is [n][k] */
    uint32_t m;
    uint32_t n;
    uint32_t k;
    float alpha;
    float beta;
};

static void multiply(struct product p, const float *a, const float *b, float *c)
{
    pthread_mutex_lock(&blas_lock);
    cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
                p.transpose_b ? CblasTrans : CblasNoTrans, (blasint)p.m, (blasint)p.n, (blasint)p.k,
                p.alpha, a, (blasint)(p.transpose_a ? p.m : p.k), b,
                (blasint)(p.transpose_b ? p.k : p.n), p.beta, c, (blasint)p.n);
    pthread_mutex_unlock(&blas_lock);
}

static uint32_t widest_after_inputs(const struct network *network)
{
    uint32_t widest = 0;
    for (uint32_t i = 0; i < network->layers; i++)
        widest = network->layer[i].out > widest ? network->layer[i].out : widest;
    return widest;
}

static float *floats_new(uint32_t rows, uint32_t columns)
{
    CHECK(rows > 0 && columns > 0);
    return calloc((size_t)rows * columns, sizeof(float));
}

enum status network_create(const struct model_spec *spec, uint32_t batch_max,
                           struct network **ret_network, struct error *err)
{
    enum status status = model_spec_check(spec, err);
    if (status != STATUS_OK)
        return status;
    if (spec->kind == MODEL_FLAT)
        return error_set(err, STATUS_INVAL,
                         "a flat model cannot be trained or evaluated; "
                         "softmax or mlp can");
    struct network *const network = calloc(1, sizeof(*network));
    if (network == nullptr)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a network");
    network->layers = model_spec_layers(spec);
    network->batch_max = batch_max;
    for (uint32_t i = 0; i < network->layers; i++) {
        struct model_tensor weight;
        struct model_tensor bias;
        model_spec_layer(spec, i, &weight, &bias);
        network->layer[i] =
            (struct layer){weight.shape[1], weight.shape[0], weight.offset, bias.offset};
    }
    const uint32_t widest = widest_after_inputs(network);
    bool complete = true;
    for (uint32_t i = 0; i <= network->layers; i++) {
        network->values[i] = floats_new(batch_max, model_spec_width(spec, i));
        complete = complete && network->values[i] != nullptr;
    }
    for (uint32_t i = 0; i < 2; i++) {
        network->errors[i] = floats_new(batch_max, widest);
        complete = complete && network->errors[i] != nullptr;
    }
    network->labels = calloc(batch_max, 1);
    if (!complete || network->labels == nullptr) {
        network_destroy(network);
        return error_set(err, STATUS_NO_MEMORY, "no memory for batches of %u samples", batch_max);
    }
    *ret_network = network;
    return STATUS_OK;
}

void network_destroy(struct network *network)
{
    if (network == nullptr)
        return;
    for (uint32_t i = 0; i <= LAYERS_MAX; i++)
        free(network->values[i]);
    free(network->errors[0]);
    free(network->errors[1]);
    free(network->labels);
    free(network);
}

enum status network_check_data(const struct model_spec *spec, const struct dataset *data,
                               struct error *err)
{
    if (data == nullptr || data->samples == 0)
        return error_set(err, STATUS_INVAL, "the data set is empty; at least one sample is needed");
    if (data->features != spec->inputs)
        return error_set(err, STATUS_INVAL,
                         "the samples have %u values each, but the model takes %u inputs",
                         data->features, spec->inputs);
    for (uint32_t i = 0; i < data->samples; i++) {
        if (data->labels[i] >= spec->classes)
            return error_set(err, STATUS_INVAL,
                             "sample %u has label %u, but the model has %u classes", i,
                             data->labels[i], spec->classes);
    }
    return STATUS_OK;
}

void network_forward(struct network *network, const float *parameters, const struct dataset *data,
                     const uint32_t *picks, uint32_t first, uint32_t count)
{
    CHECK(count >= 1 && count <= network->batch_max);
    network->count = count;
    dataset_batch(data, picks, first, count, network->values[0], network->labels);
    for (uint32_t i = 0; i < network->layers; i++) {
        const struct layer layer = network->layer[i];
        float *const out = network->values[i + 1];
        for (uint32_t row = 0; row < count; row++)
            memcpy(out + (size_t)row * layer.out, parameters + layer.bias,
                   layer.out * sizeof(*out));
        multiply((struct product){.transpose_b = true,
                                  .m = count,
                                  .n = layer.out,
                                  .k = layer.in,
                                  .alpha = 1,
                                  .beta = 1},
                 network->values[i], parameters + layer.weight, out);
        if (i + 1 == network->layers)
            break;
        const size_t values = (size_t)count * layer.out;
        for (size_t k = 0; k < values; k++)
            out[k] = out[k] > 0 ? out[k] : (out[k] == out[k] ? 0 : out[k]); /* NaN stays */
    }
}

static uint32_t largest_of(const float *row, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t j = 1; j < count; j++) {
        if (row[j] > row[best])
            best = j;
    }
    return best;
}

double network_loss(const struct network *network, uint64_t *ret_right)
{
    const uint32_t classes = network->layer[network->layers - 1].out;
    double loss = 0;
    for (uint32_t i = 0; i < network->count; i++) {
        const float *const row = network->values[network->layers] + (size_t)i * classes;
        const uint32_t best = largest_of(row, classes);
        const double top = row[best];
        double sum = 0;
        for (uint32_t j = 0; j < classes; j++)
            sum += exp(row[j] - top);
        const double sample_loss = log(sum) + top - row[network->labels[i]];
        loss += sample_loss;
        *ret_right += best == network->labels[i] && isfinite(sample_loss);
    }
    return loss;
}

/* errors[0] = (softmax(outputs) - one-hot(label)) / count: the gradient of the mean loss. */
static void output_errors(struct network *network)
{
    const uint32_t classes = network->layer[network->layers - 1].out;
    const float share = 1.0f / (float)network->count;
    for (uint32_t i = 0; i < network->count; i++) {
        const float *const row = network->values[network->layers] + (size_t)i * classes;
        float *const error = network->errors[0] + (size_t)i * classes;
        const float top = row[largest_of(row, classes)];
        float sum = 0;
        for (uint32_t j = 0; j < classes; j++) {
            error[j] = expf(row[j] - top);
            sum += error[j];
        }
        const float scale = share / sum;
        for (uint32_t j = 0; j < classes; j++)
            error[j] *= scale;
        error[network->labels[i]] -= share;
    }
}

/* before = (error * weight) where the layer before gave more than 0, else 0. */
static void errors_before(const struct network *network, uint32_t index, const float *parameters,
                          const float *error, float *before)
{
    const struct layer layer = network->layer[index];
    multiply((struct product){.m = network->count, .n = layer.in, .k = layer.out, .alpha = 1},
             error, parameters + layer.weight, before);
    const float *const values = network->values[index];
    const size_t count = (size_t)network->count * layer.in;
    for (size_t k = 0; k < count; k++)
        before[k] = values[k] > 0 ? before[k] : 0;
}

void network_backward(struct network *network, const float *parameters, float keep, float scale,
                      float *target)
{
    output_errors(network);
    float *error = network->errors[0];
    float *spare = network->errors[1];
    for (uint32_t i = network->layers; i-- > 0;) {
        const struct layer layer = network->layer[i];
        /* First what needs this layer's weights: target may overwrite them. */
        if (i > 0)
            errors_before(network, i, parameters, error, spare);
        multiply((struct product){.transpose_a = true,
                                  .m = layer.out,
                                  .n = layer.in,
                                  .k = network->count,
                                  .alpha = scale,
                                  .beta = keep},
                 error, network->values[i], target + layer.weight);
        float *const bias = target + layer.bias;
        for (uint32_t j = 0; j < layer.out; j++)
            bias[j] *= keep;
        for (uint32_t row = 0; row < network->count; row++) {
            for (uint32_t j = 0; j < layer.out; j++)
                bias[j] += scale * error[(size_t)row * layer.out + j];
        }
        float *const done = error;
        error = spare;
        spare = done;
    }
}
