/*
 * job_model_test.c - a job whose model is a file: its tensors, its first values, and what is wrong
 * with a file that cannot be one.
 */
#include "testing.h"

#include "host/job_data.h"
#include "host/job_model.h"
#include "tensor/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config config;

/* Points the configuration at a file with two tensors of that type. */
static void write_model(enum dtype dtype, uint64_t rows, const void *data)
{
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    const uint64_t shape[] = {rows, 2};
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "w", 1, DTYPE_F32, 2, shape, nullptr), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "b", 1, dtype, 1, shape, nullptr), STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    assert_int_equal(safetensors_write_file(config.model.path, layout, nullptr, 0, data, nullptr),
                     STATUS_OK);
    layout_destroy(layout);
}

static int make_path(void **state)
{
    config_defaults(&config);
    config.model.kind = CONFIG_MODEL_FILE;
    snprintf(config.model.path, sizeof(config.model.path), "/tmp/fedra-model-XXXXXX");
    const int fd = mkstemp(config.model.path);
    return fd >= 0 ? close(fd) : 1;
}

static int remove_path(void **state)
{
    return unlink(config.model.path);
}

static void the_tensors_and_values_of_the_file_are_the_model(void **state)
{
    const float values[] = {1, 2, 3, 4, 5, 6}; /* b, then w: in the order of names */
    float parameters[6] = {0};
    struct model_spec spec = {0};
    struct layout *layout = nullptr;
    write_model(DTYPE_F32, 2, values);
    assert_int_equal(job_model(&config, &spec, &layout, nullptr), STATUS_OK);
    assert_true(spec.kind == MODEL_FLAT && spec.parameters == 6);
    assert_int_equal(layout->tensor_count, 2);
    assert_string_equal(layout->tensors[1].name, "w");
    assert_true(layout->tensors[1].rank == 2 && layout->tensors[1].shape[1] == 2);
    assert_int_equal(job_model_initial(&config, &spec, layout, parameters, nullptr), STATUS_OK);
    assert_memory_equal(parameters, values, sizeof(values));
    assert_int_equal(job_model_spec(&config, &spec, nullptr), STATUS_OK);
    assert_true(spec.kind == MODEL_FLAT && spec.parameters == 6);
    layout_destroy(layout);
}

static void a_file_that_changed_or_is_not_finite_starts_no_job(void **state)
{
    const float values[] = {1, 2, 3, 4, NAN, 6, 7, 8, 9};
    float parameters[6];
    struct model_spec spec = {0};
    struct layout *layout = nullptr;
    struct error err = {0};
    write_model(DTYPE_F32, 2, values);
    assert_int_equal(job_model(&config, &spec, &layout, nullptr), STATUS_OK);
    assert_int_equal(job_model_initial(&config, &spec, layout, parameters, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "holds NaN or infinity, finite numbers are wanted"));
    write_model(DTYPE_F32, 3, values);
    assert_int_equal(job_model_initial(&config, &spec, layout, parameters, &err), STATUS_INVAL);
    assert_non_null(strstr(err.text, "has other tensors than at the start"));
    layout_destroy(layout);
}

static void expect_refusal(enum status status, const char *text)
{
    struct model_spec spec;
    struct layout *layout = nullptr;
    struct error err = {0};
    assert_int_equal(job_model(&config, &spec, &layout, &err), status);
    if (strncmp(err.text, "model.path: ", 12) != 0 || strstr(err.text, text) == nullptr)
        fail_msg("%s", err.text);
    assert_null(layout);
}

static void a_file_that_cannot_be_a_model_is_refused_by_its_key(void **state)
{
    const double values[4] = {0};
    write_model(DTYPE_F64, 2, values);
    expect_refusal(STATUS_INVAL, "the tensor b of /tmp/fedra-model-");
    expect_refusal(STATUS_INVAL, "is F64, all must be F32: leave out what is not trained");
    write_model(DTYPE_F32, 0, values);
    expect_refusal(STATUS_INVAL, "has 0 parameters, 1 to 1073741824 are wanted");
    assert_int_equal(truncate(config.model.path, 20), 0);
    expect_refusal(STATUS_INVAL, "is no good safetensors file: ");
    assert_int_equal(truncate(config.model.path, 0), 0);
    expect_refusal(STATUS_INVAL, "is no good safetensors file: ");
    char kept[sizeof(config.model.path)];
    memcpy(kept, config.model.path, sizeof(kept));
    snprintf(config.model.path, sizeof(config.model.path), "/nowhere/model");
    expect_refusal(STATUS_NOT_FOUND, "/nowhere/model: No such file");
    memcpy(config.model.path, kept, sizeof(kept));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tensors_and_values_of_the_file_are_the_model),
        cmocka_unit_test(a_file_that_changed_or_is_not_finite_starts_no_job),
        cmocka_unit_test(a_file_that_cannot_be_a_model_is_refused_by_its_key),
    };
    return cmocka_run_group_tests_name("job_model", tests, make_path, remove_path);
}
