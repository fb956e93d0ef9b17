/*
 * model_spec.h - the built-in models: what tensors they have, and their first parameters.
 *
 * All parameters of a model are one flat f32 array: the tensors one after the other, ascending by
 * the bytes of their names, as in tensor/layout.h (so layer0.bias comes before layer0.weight).
 * Names and shapes are PyTorch's for linear layers: y = x * weight^T + bias. Not here: computing
 * with them (network.h).
 */
#pragma once

#include "base/status.h"
#include "tensor/layout.h"

#include <stdint.h>

enum model_kind {
    MODEL_SOFTMAX, /* softmax regression: one linear layer */
    MODEL_MLP,     /* linear layers with ReLU between them */
    MODEL_FLAT,    /* a bare vector, for measuring without training */
};

enum {
    MODEL_HIDDEN_MAX = 32,          /* hidden layers */
    MODEL_WIDTH_MAX = 1 << 20,      /* units in a layer, inputs, classes */
    MODEL_PARAMETERS_MAX = 1 << 30, /* of a whole model */
    MODEL_NAME_MAX = 32,            /* of a tensor's name with its zero */
};

struct model_spec {
    enum model_kind kind;
    uint32_t inputs;       /* softmax, mlp: features a sample */
    uint32_t classes;      /* softmax, mlp: in [2, 256] */
    uint32_t hidden_count; /* mlp: in [1, MODEL_HIDDEN_MAX] */
    uint32_t hidden[MODEL_HIDDEN_MAX];
    uint32_t parameters; /* flat: the length of the vector */
};

/* One tensor: "layer0.weight" [out, in], "layer0.bias" [out], ...; of a flat model "vector" [n]. */
struct model_tensor {
    char name[MODEL_NAME_MAX];
    uint32_t layer; /* its number; 0 for a flat model */
    uint32_t rank;  /* 1 or 2 */
    uint32_t shape[2];
    uint32_t offset; /* in elements from the start of the flat array */
    uint32_t count;  /* elements */
};

/* INVAL with a text that names the figure and its range, where a spec is out of its bounds. */
[[nodiscard]] enum status model_spec_check(const struct model_spec *spec, struct error *err);

/* All following functions want a spec that passed model_spec_check. */

/* Linear layers: 0 for a flat model. */
uint32_t model_spec_layers(const struct model_spec *spec);

/* The width before layer 0 (the inputs) or after layer `index - 1`; index in [0, layers]. */
uint32_t model_spec_width(const struct model_spec *spec, uint32_t index);

/* Elements in the flat array. */
uint32_t model_spec_parameters(const struct model_spec *spec);

/* How many tensors there are. */
uint32_t model_spec_tensors(const struct model_spec *spec);

/* The tensor `index`, under model_spec_tensors, in the order of the flat array. Cannot fail. */
void model_spec_tensor(const struct model_spec *spec, uint32_t index,
                       struct model_tensor *ret_tensor);

/* The two tensors of a layer under model_spec_layers. */
void model_spec_layer(const struct model_spec *spec, uint32_t layer,
                      struct model_tensor *ret_weight, struct model_tensor *ret_bias);

/* The layout of the flat array, all F32; the caller destroys it. NO_MEMORY. */
[[nodiscard]] enum status model_spec_layout(const struct model_spec *spec,
                                            struct layout **ret_layout, struct error *err);

/*
 * The first parameters, from a seed: the same bits on every machine (uniform draws and a correctly
 * rounded square root only).
 *
 * Weights before a ReLU are He's, uniform in +-sqrt(6 / in) (He et al. 2015, arXiv:1502.01852), of
 * the last layer Glorot's, uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio 2010); biases and
 * flat models are zero. Each tensor has a stream of its own.
 *
 * ret_parameters  f32[model_spec_parameters].
 */
void model_spec_initial(const struct model_spec *spec, uint64_t seed, float *ret_parameters);
