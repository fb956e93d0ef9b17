/*
 * sim_payload.c - the numbers of an update, with counted references.
 */
#include "sim/sim_work.h"

#include "base/check.h"

#include <stdlib.h>

void payload_measure(const float *values, const struct layout *layout, struct payload *payload)
{
    CHECK(blob_digest(values, layout->bytes, 0, &payload->digest) == STATUS_OK);
    payload->squared = 0;
    for (uint64_t i = 0; i < layout->parameter_count; i++)
        payload->squared += (double)values[i] * (double)values[i];
}

struct payload *payload_create(float *values, const struct layout *layout)
{
    struct payload *const payload = calloc(1, sizeof(*payload));
    CHECK(payload != nullptr);
    payload->references = 1;
    payload->values = values;
    payload_measure(values, layout, payload);
    return payload;
}

struct payload *payload_ref(struct payload *payload)
{
    payload->references++;
    return payload;
}

void payload_unref(struct payload *payload)
{
    if (payload == nullptr || --payload->references > 0)
        return;
    if (payload->values == nullptr)
        payload->work->ops->forget_payload(payload->work, payload->slot);
    free(payload->values);
    free(payload);
}
