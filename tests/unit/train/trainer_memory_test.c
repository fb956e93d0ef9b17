/*
 * trainer_memory_test.c - every allocation of our own for an external trainer fails once: each is
 * answered with NO_MEMORY, leaks nothing (the sanitizer looks), and the next task goes well.
 */
#include "trainer_world.h"

#include "alloc_fault.h"

enum { ALLOCATIONS_MAX = 200 };

/* Gives whether an allocation failed. */
static bool run_with_fault(uint64_t index)
{
    struct world *const world = world_create("good");
    struct trainer_result result = {0};
    struct error err = {0};
    float delta[WORLD_PARAMETERS];
    alloc_fault_at(index);
    enum status status = trainer_external.open(&world->options, &world->trainer, &err);
    if (status == STATUS_OK)
        status = world_train(world, &result, delta, &err);
    const bool failed = alloc_fault_off();
    if (status != STATUS_OK && status != STATUS_NO_MEMORY)
        fail_msg("allocation %llu: %s: %s", (unsigned long long)index, status_name(status),
                 err.text);
    if (world->trainer == nullptr)
        world_open(world);
    world_train_well(world);
    world_destroy(world);
    return failed;
}

static void every_failed_allocation_is_answered_and_got_over(void **state)
{
    uint64_t index = 0;
    while (run_with_fault(index))
        assert_true(++index < ALLOCATIONS_MAX);
    assert_true(index > 5);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_answered_and_got_over),
    };
    if (!world_setup(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("trainer_memory", tests, nullptr, world_teardown);
}
