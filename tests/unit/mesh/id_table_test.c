/*
 * id_table_test.c - the table of ids against a plain array that does the same slowly.
 */
#include "testing.h"

#include "base/random.h"
#include "mesh/id_table.h"

enum { IDS_MAX = 4096, STEPS = 200000 };

static void a_table_finds_what_was_put_and_not_removed(void **state)
{
    static char things[IDS_MAX + 1];
    static bool is_in[IDS_MAX + 1];
    struct id_table table = {};
    struct random random;
    size_t count = 0;
    random_init(&random, 1, 2, 3);
    assert_null(id_table_find(&table, 1));
    assert_null(id_table_find(&table, 0));
    for (int step = 0; step < STEPS; step++) {
        const uint64_t id = 1 + random_below(&random, IDS_MAX);
        assert_ptr_equal(id_table_find(&table, id), is_in[id] ? &things[id] : nullptr);
        if (random_below(&random, 2) == 0) {
            id_table_remove(&table, id);
            count -= is_in[id];
            is_in[id] = false;
        } else if (!is_in[id]) {
            assert_int_equal(id_table_put(&table, id, &things[id]), STATUS_OK);
            is_in[id] = true;
            count++;
        }
        assert_int_equal(table.count, count);
    }
    for (uint64_t id = 1; id <= IDS_MAX; id++)
        assert_ptr_equal(id_table_find(&table, id), is_in[id] ? &things[id] : nullptr);
    assert_true(table.capacity <= 4 * IDS_MAX);
    id_table_deinit(&table);
    assert_null(id_table_find(&table, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_finds_what_was_put_and_not_removed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
