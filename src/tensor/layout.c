/*
 * layout.c - building, comparing and hashing the description of a model's parameters.
 *
 * The names lie one after another, each with a zero, in one allocation.
 */
#include "tensor/layout.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "tensor/utf8.h"

#include <stdlib.h>
#include <string.h>

static_assert(sizeof(size_t) == 8, "sizes of models are computed in size_t");

enum {
    NAMES_BYTES_MAX = LAYOUT_TENSORS_MAX * (LAYOUT_NAME_MAX + 1),
    NAME_SHOWN_MAX = 300,
    TENSORS_CAPACITY_MIN = 16,
};

struct layout_builder {
    struct tensor *tensors; /* their offset is that of the name in names until they are sorted */
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes;
    struct bytes names;
};

/* What the caller sees comes first, so that a pointer to it is a pointer to this. */
struct layout_owner {
    struct layout layout;
    struct tensor *tensors;
    struct bytes names;
};

enum status layout_builder_create(struct layout_builder **ret_builder)
{
    struct layout_builder *const builder = calloc(1, sizeof(*builder));
    if (builder == nullptr)
        return STATUS_NO_MEMORY;
    bytes_init(&builder->names, NAMES_BYTES_MAX);
    *ret_builder = builder;
    return STATUS_OK;
}

static void clear(struct layout_builder *builder)
{
    free(builder->tensors);
    builder->tensors = nullptr;
    builder->count = 0;
    builder->capacity = 0;
    builder->bytes = 0;
    bytes_deinit(&builder->names);
}

void layout_builder_destroy(struct layout_builder *builder)
{
    if (builder == nullptr)
        return;
    clear(builder);
    free(builder);
}

static enum status check_name(const char *name, size_t name_size, struct error *err)
{
    static const char reserved[] = "__metadata__";
    char shown[NAME_SHOWN_MAX];
    text_escape(name, name_size, shown, sizeof(shown));
    if (name_size > LAYOUT_NAME_MAX)
        return error_set(err, STATUS_LIMIT,
                         "tensor %s: its name has %zu bytes, at most %d are allowed", shown,
                         name_size, LAYOUT_NAME_MAX);
    if (!utf8_is_valid(name, name_size))
        return error_set(err, STATUS_INVAL, "tensor %s: its name is not UTF-8", shown);
    if (name_size > 0 && memchr(name, 0, name_size) != nullptr)
        return error_set(err, STATUS_INVAL, "tensor %s: its name holds a zero byte", shown);
    if (name_size == sizeof(reserved) - 1 && memcmp(name, reserved, name_size) == 0)
        return error_set(err, STATUS_INVAL, "no tensor may be called %s", reserved);
    return STATUS_OK;
}

/* Fills in shape, count and size; bytes_left bounds the size. */
static enum status measure(struct tensor *tensor, const uint64_t *shape, uint64_t bytes_left,
                           const char *shown, struct error *err)
{
    uint64_t size = dtype_size(tensor->dtype);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        tensor->shape[i] = shape[i];
        if (__builtin_mul_overflow(size, shape[i], &size))
            return error_set(err, STATUS_LIMIT, "tensor %s: its shape overflows 64 bits", shown);
    }
    if (size > bytes_left)
        return error_set(err, STATUS_LIMIT, "tensor %s: the model would have more than %llu bytes",
                         shown, (unsigned long long)LAYOUT_BYTES_MAX);
    tensor->size = size;
    tensor->count = size / dtype_size(tensor->dtype);
    return STATUS_OK;
}

static enum status reserve_tensor(struct layout_builder *builder)
{
    if (builder->count < builder->capacity)
        return STATUS_OK;
    const uint32_t capacity = builder->capacity == 0 ? TENSORS_CAPACITY_MIN : builder->capacity * 2;
    struct tensor *const grown = reallocarray(builder->tensors, capacity, sizeof(*grown));
    if (grown == nullptr)
        return STATUS_NO_MEMORY;
    builder->tensors = grown;
    builder->capacity = capacity;
    return STATUS_OK;
}

enum status layout_builder_add(struct layout_builder *builder, const char *name, size_t name_size,
                               enum dtype dtype, uint32_t rank, const uint64_t *shape,
                               struct error *err)
{
    enum status status = check_name(name, name_size, err);
    if (status != STATUS_OK)
        return status;
    char shown[NAME_SHOWN_MAX];
    text_escape(name, name_size, shown, sizeof(shown));
    if (dtype_size(dtype) == 0)
        return error_set(err, STATUS_INVAL, "tensor %s: %d is no element type", shown, (int)dtype);
    if (rank > LAYOUT_RANK_MAX)
        return error_set(err, STATUS_LIMIT, "tensor %s: rank %u, at most %d is allowed", shown,
                         rank, LAYOUT_RANK_MAX);
    if (builder->count == LAYOUT_TENSORS_MAX)
        return error_set(err, STATUS_LIMIT, "tensor %s: more than %d tensors", shown,
                         LAYOUT_TENSORS_MAX);
    struct tensor tensor = {.name_size = (uint32_t)name_size,
                            .dtype = dtype,
                            .rank = rank,
                            .offset = builder->names.size};
    status = measure(&tensor, shape, LAYOUT_BYTES_MAX - builder->bytes, shown, err);
    if (status != STATUS_OK)
        return status;
    if (reserve_tensor(builder) != STATUS_OK ||
        bytes_reserve(&builder->names, name_size + 1) != STATUS_OK)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list of tensors");
    CHECK(bytes_append(&builder->names, name, name_size) == STATUS_OK);
    CHECK(bytes_append(&builder->names, "", 1) == STATUS_OK);
    builder->tensors[builder->count++] = tensor;
    builder->bytes += tensor.size;
    return STATUS_OK;
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (order != 0)
        return order;
    return (a_size > b_size) - (a_size < b_size);
}

static int compare_tensors(const void *a, const void *b)
{
    const struct tensor *const x = a;
    const struct tensor *const y = b;
    return compare_names(x->name, x->name_size, y->name, y->name_size);
}

/* What the digests take of a tensor besides its bytes. */
static void hash_description(struct hasher *hasher, const struct tensor *tensor)
{
    uint8_t head[8];
    store_u32le(head, tensor->name_size);
    hasher_update(hasher, head, 4);
    hasher_update(hasher, tensor->name, tensor->name_size);
    store_u32le(head, (uint32_t)tensor->dtype);
    store_u32le(head + 4, tensor->rank);
    hasher_update(hasher, head, 8);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        store_u64le(head, tensor->shape[i]);
        hasher_update(hasher, head, 8);
    }
}

static enum status hash_tensors(const struct layout *layout, const char *domain,
                                const uint8_t *data, struct digest *ret_digest)
{
    struct hasher *hasher = nullptr;
    if (hasher_create(&hasher) != STATUS_OK)
        return STATUS_NO_MEMORY;
    hasher_update(hasher, domain, strlen(domain) + 1);
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        const struct tensor *const tensor = &layout->tensors[i];
        hash_description(hasher, tensor);
        if (data != nullptr && tensor->size > 0)
            hasher_update(hasher, data + tensor->offset, tensor->size);
    }
    hasher_finish(hasher, ret_digest);
    hasher_destroy(hasher);
    return STATUS_OK;
}

/* Sorts the owner's tensors, refuses twins, gives offsets and totals. */
static enum status arrange(struct layout_owner *owner, uint32_t count, struct error *err)
{
    struct tensor *const tensors = owner->tensors;
    for (uint32_t i = 0; i < count; i++)
        tensors[i].name = (const char *)owner->names.data + tensors[i].offset;
    if (count > 0)
        qsort(tensors, count, sizeof(*tensors), compare_tensors);
    struct layout *const layout = &owner->layout;
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && compare_tensors(&tensors[i - 1], &tensors[i]) == 0) {
            char shown[NAME_SHOWN_MAX];
            text_escape(tensors[i].name, tensors[i].name_size, shown, sizeof(shown));
            return error_set(err, STATUS_EXISTS, "tensor %s is there twice", shown);
        }
        tensors[i].offset = layout->bytes;
        layout->bytes += tensors[i].size;
        layout->parameter_count += tensors[i].count;
    }
    layout->tensors = tensors;
    layout->tensor_count = count;
    return STATUS_OK;
}

enum status layout_builder_finish(struct layout_builder *builder, struct layout **ret_layout,
                                  struct error *err)
{
    struct layout_owner *const owner = calloc(1, sizeof(*owner));
    if (owner == nullptr) {
        clear(builder);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a layout");
    }
    const uint32_t count = builder->count;
    owner->tensors = builder->tensors;
    owner->names = builder->names;
    builder->tensors = nullptr;
    bytes_init(&builder->names, NAMES_BYTES_MAX);
    clear(builder);

    enum status status = arrange(owner, count, err);
    if (status == STATUS_OK) {
        status = hash_tensors(&owner->layout, "fedra/v1/layout", nullptr, &owner->layout.digest);
        if (status != STATUS_OK)
            error_set(err, status, "no memory for a digest");
    }
    if (status != STATUS_OK) {
        layout_destroy(&owner->layout);
        return status;
    }
    *ret_layout = &owner->layout;
    return STATUS_OK;
}

void layout_destroy(struct layout *layout)
{
    if (layout == nullptr)
        return;
    struct layout_owner *const owner = (struct layout_owner *)layout;
    free(owner->tensors);
    bytes_deinit(&owner->names);
    free(owner);
}

bool layout_equal(const struct layout *a, const struct layout *b)
{
    return digest_equal(&a->digest, &b->digest);
}

bool layout_find(const struct layout *layout, const char *name, size_t name_size,
                 uint32_t *ret_index)
{
    uint32_t first = 0;
    uint32_t end = layout->tensor_count;
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        const struct tensor *const tensor = &layout->tensors[middle];
        const int order = compare_names(name, name_size, tensor->name, tensor->name_size);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0)
            end = middle;
        else
            first = middle + 1;
    }
    return false;
}

bool layout_is_f32(const struct layout *layout)
{
    for (uint32_t i = 0; i < layout->tensor_count; i++) {
        if (layout->tensors[i].dtype != DTYPE_F32)
            return false;
    }
    return true;
}

enum status model_digest(const struct layout *layout, const void *data, struct digest *ret_digest)
{
    CHECK(data != nullptr || layout->bytes == 0);
    return hash_tensors(layout, "fedra/v1/model", data, ret_digest);
}
