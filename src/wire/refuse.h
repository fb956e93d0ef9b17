/*
 * refuse.h - fills in a refusal. Only for this layer.
 */
#pragma once

#include "wire/envelope.h"

/*
 * Writes reason and text and gives status back. refusal may be null: then only the status is passed
 * on.
 */
enum status refuse(struct refusal *refusal, enum status status, enum reason reason,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
