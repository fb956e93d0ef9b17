/*
 * safetensors_python_test.c - python's safetensors reads our files, and we read its.
 *
 * Skipped, aloud, where python3 has no safetensors or numpy. argv[1] is the script.
 */
#include "tensor/safetensors.h"

#include "testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *script;
static bool has_python;
static char folder[] = "/tmp/fedra-python-XXXXXX";
static char path[64];

/* The exit code of python3 script verb path, 127 where there is no python3. */
static int python(const char *verb)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (strcmp(verb, "probe") == 0)
            fclose(stderr);
        execlp("python3", "python3", script, verb, path, (char *)nullptr);
        _exit(127);
    }
    int state = 0;
    assert_int_equal(waitpid(child, &state, 0), child);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 255;
}

/* What the script expects, and writes. */
struct content {
    uint8_t flags[3];
    float weight[6];
    double scale;
};

static const struct content content = {{1, 2, 3}, {0.5f, -1.5f, 2.0f, 3.0f, 4.0f, 5.0f}, 0.1};

static struct layout *content_layout(void)
{
    struct layout_builder *builder = nullptr;
    struct layout *layout = nullptr;
    assert_int_equal(layout_builder_create(&builder), STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "scale", 5, DTYPE_F64, 0, nullptr, nullptr),
                     STATUS_OK);
    assert_int_equal(
        layout_builder_add(builder, "layer.weight", 12, DTYPE_F32, 2, (uint64_t[]){2, 3}, nullptr),
        STATUS_OK);
    assert_int_equal(layout_builder_add(builder, "flags", 5, DTYPE_U8, 1, (uint64_t[]){3}, nullptr),
                     STATUS_OK);
    assert_int_equal(layout_builder_finish(builder, &layout, nullptr), STATUS_OK);
    layout_builder_destroy(builder);
    return layout;
}

static void python_reads_what_we_write(void **state)
{
    if (!has_python)
        skip();
    static const struct safetensors_pair metadata[] = {{"round", "7"},
                                                       {"who", "fedra \"\xc3\xa9\""}};
    struct layout *const layout = content_layout();
    uint8_t flat[3 + 24 + 8];
    memcpy(flat, content.flags, 3);
    memcpy(flat + 3, content.weight, 24);
    memcpy(flat + 27, &content.scale, 8);
    assert_int_equal(safetensors_write_file(path, layout, metadata, 2, flat, nullptr), STATUS_OK);
    assert_int_equal(python("read"), 0);
    layout_destroy(layout);
}

static void we_read_what_python_writes(void **state)
{
    if (!has_python)
        skip();
    assert_int_equal(python("write"), 0);
    struct layout *const layout = content_layout();
    struct safetensors *file = nullptr;
    struct error err = {0};
    if (safetensors_open_file(path, &file, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    assert_true(layout_equal(file->layout, layout));
    assert_memory_equal(file->data[0], content.flags, 3);
    assert_memory_equal(file->data[1], content.weight, 24);
    assert_memory_equal(file->data[2], &content.scale, 8);
    assert_int_equal(file->metadata_count, 1);
    assert_string_equal(file->metadata[0].value, "python");
    safetensors_close(file);
    layout_destroy(layout);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_reads_what_we_write),
        cmocka_unit_test(we_read_what_python_writes),
    };
    if (argc < 2 || mkdtemp(folder) == nullptr)
        return 1;
    script = argv[1];
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    has_python = python("probe") == 0;
    if (!has_python)
        fprintf(stderr, "skipped: python3 has no safetensors or no numpy here\n");
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    unlink(path);
    rmdir(folder);
    return failed;
}
