/*
 * testing.h - what every test file includes: cmocka with the headers it wants, in their order.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
