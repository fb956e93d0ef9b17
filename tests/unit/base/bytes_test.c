/*
 * bytes_test.c - the byte buffer grows, keeps its cap and its content, and numbers are
 * little-endian.
 */
#include "base/bytes.h"

#include "alloc_fault.h"
#include "testing.h"

#include <string.h>

static void *wiped;
static size_t wiped_size;

void __wrap_explicit_bzero(void *memory, size_t size);
void __wrap___explicit_bzero_chk(void *memory, size_t size, size_t room);

void __wrap_explicit_bzero(void *memory, size_t size)
{
    memset(memory, 0, size);
    wiped = memory;
    wiped_size = size;
}

/* What _FORTIFY_SOURCE makes of it. */
void __wrap___explicit_bzero_chk(void *memory, size_t size, size_t room)
{
    __wrap_explicit_bzero(memory, size);
}

static void a_new_buffer_is_empty_and_holds_no_memory(void **state)
{
    struct bytes buffer;
    alloc_fault_at(0);
    bytes_init(&buffer, 10);
    assert_false(alloc_fault_off());
    assert_int_equal(buffer.size, 0);
    assert_null(buffer.data);
    assert_int_equal(bytes_slice(&buffer).size, 0);
    bytes_deinit(&buffer);
    bytes_deinit(&buffer); /* twice does no harm */
    assert_int_equal(buffer.size_max, 10);
}

static void what_is_appended_comes_out_in_order(void **state)
{
    struct bytes buffer;
    bytes_init(&buffer, 1 << 20);
    for (unsigned i = 0; i < 5000; i++) {
        const uint8_t piece[3] = {(uint8_t)i, (uint8_t)(i >> 8), 0xa5};
        assert_int_equal(bytes_append(&buffer, piece, sizeof(piece)), STATUS_OK);
    }
    assert_int_equal(bytes_append(&buffer, nullptr, 0), STATUS_OK);
    const struct slice all = bytes_slice(&buffer);
    assert_int_equal(all.size, 15000);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(all.data[3 * i], i & 255);
        assert_int_equal(all.data[3 * i + 1], i >> 8);
        assert_int_equal(all.data[3 * i + 2], 0xa5);
    }
    bytes_deinit(&buffer);
}

static void the_cap_is_reached_exactly_and_never_passed(void **state)
{
    struct bytes buffer;
    uint8_t block[700] = {1, 2, 3};
    bytes_init(&buffer, 1000);
    assert_int_equal(bytes_append(&buffer, block, 700), STATUS_OK);
    assert_int_equal(bytes_append(&buffer, block, 301), STATUS_LIMIT);
    assert_int_equal(buffer.size, 700);
    assert_int_equal(bytes_reserve(&buffer, SIZE_MAX), STATUS_LIMIT);
    assert_int_equal(bytes_append(&buffer, block, 300), STATUS_OK);
    assert_int_equal(buffer.size, 1000);
    assert_int_equal(bytes_append(&buffer, block, 1), STATUS_LIMIT);
    assert_int_equal(bytes_append(&buffer, block, 0), STATUS_OK);
    assert_memory_equal(buffer.data + 700, block, 300);
    bytes_deinit(&buffer);
}

static void reserved_room_needs_no_further_allocation(void **state)
{
    struct bytes buffer;
    const uint8_t block[500] = {9};
    bytes_init(&buffer, 5000);
    assert_int_equal(bytes_reserve(&buffer, 5000), STATUS_OK);
    assert_int_equal(buffer.size, 0);
    alloc_fault_at(0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(bytes_append(&buffer, block, sizeof(block)), STATUS_OK);
    assert_false(alloc_fault_off());
    assert_int_equal(buffer.size, 5000);
    bytes_deinit(&buffer);
}

static void without_memory_nothing_changes_and_it_goes_on_later(void **state)
{
    struct bytes buffer;
    uint8_t block[600];
    memset(block, 7, sizeof(block));
    bytes_init(&buffer, SIZE_MAX);
    alloc_fault_at(0);
    assert_int_equal(bytes_append(&buffer, block, 1), STATUS_NO_MEMORY);
    assert_true(alloc_fault_off());
    assert_int_equal(buffer.size, 0);
    assert_int_equal(bytes_append(&buffer, block, 200), STATUS_OK);
    const struct bytes before = buffer;
    alloc_fault_at(0);
    assert_int_equal(bytes_append(&buffer, block, 600), STATUS_NO_MEMORY);
    assert_true(alloc_fault_off());
    assert_memory_equal(&buffer, &before, sizeof(buffer));
    assert_memory_equal(buffer.data, block, 200);
    /* A size whose doubling would wrap around ends too. */
    alloc_fault_at(0);
    assert_int_equal(bytes_reserve(&buffer, SIZE_MAX - 200), STATUS_NO_MEMORY);
    assert_true(alloc_fault_off());
    assert_int_equal(bytes_append(&buffer, block, 600), STATUS_OK);
    assert_int_equal(buffer.size, 800);
    bytes_deinit(&buffer);
}

static void consuming_keeps_the_rest_at_the_front(void **state)
{
    struct bytes buffer;
    bytes_init(&buffer, 100);
    bytes_consume(&buffer, 0);
    assert_int_equal(bytes_append(&buffer, "abcdef", 6), STATUS_OK);
    bytes_consume(&buffer, 2);
    assert_int_equal(buffer.size, 4);
    assert_memory_equal(buffer.data, "cdef", 4);
    bytes_consume(&buffer, 4);
    assert_int_equal(buffer.size, 0);
    assert_int_equal(bytes_append(&buffer, "xy", 2), STATUS_OK);
    assert_memory_equal(buffer.data, "xy", 2);
    bytes_deinit(&buffer);
}

static void a_wiped_buffer_was_overwritten_to_its_capacity(void **state)
{
    struct bytes buffer;
    bytes_init(&buffer, 4096);
    wiped = nullptr;
    bytes_wipe(&buffer); /* nothing in it, nothing to overwrite */
    assert_null(wiped);
    assert_int_equal(bytes_append(&buffer, "secret", 6), STATUS_OK);
    bytes_consume(&buffer, 6); /* the secret is still behind the end */
    const void *const memory = buffer.data;
    const size_t capacity = buffer.capacity;
    bytes_wipe(&buffer);
    assert_ptr_equal(wiped, memory);
    assert_int_equal(wiped_size, capacity);
    assert_null(buffer.data);
    assert_int_equal(buffer.size_max, 4096);
}

static void numbers_are_little_endian_at_any_address(void **state)
{
    uint8_t out[16];
    memset(out, 0xee, sizeof(out));
    store_u32le(out + 1, 0x01020304u);
    const uint8_t expected_u32[] = {0xee, 4, 3, 2, 1, 0xee};
    assert_memory_equal(out, expected_u32, sizeof(expected_u32));
    assert_true(load_u32le(out + 1) == 0x01020304u);
    store_u64le(out + 3, 0xf1f2f3f405060708u);
    const uint8_t expected_u64[] = {8, 7, 6, 5, 0xf4, 0xf3, 0xf2, 0xf1, 0xee};
    assert_memory_equal(out + 3, expected_u64, sizeof(expected_u64));
    assert_true(load_u64le(out + 3) == 0xf1f2f3f405060708u);
    store_u32le(out, UINT32_MAX);
    assert_true(load_u32le(out) == UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_is_empty_and_holds_no_memory),
        cmocka_unit_test(what_is_appended_comes_out_in_order),
        cmocka_unit_test(the_cap_is_reached_exactly_and_never_passed),
        cmocka_unit_test(reserved_room_needs_no_further_allocation),
        cmocka_unit_test(without_memory_nothing_changes_and_it_goes_on_later),
        cmocka_unit_test(consuming_keeps_the_rest_at_the_front),
        cmocka_unit_test(a_wiped_buffer_was_overwritten_to_its_capacity),
        cmocka_unit_test(numbers_are_little_endian_at_any_address),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
