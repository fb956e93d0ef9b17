/*
 * control_text.h - statuses and members as people and as scripts read them.
 *
 * Pure: what is written follows from the arguments. Not here: asking for them (control_target.h).
 */
#pragma once

#include "wire/control.h"

#include <stdio.h>

enum { DURATION_TEXT_MAX = 32, SIZE_TEXT_MAX = 32 };

/* "41 s", "2 m 11 s", "3 h 05 m", "2 d 03 h". */
void duration_text(uint64_t seconds, char ret_text[static DURATION_TEXT_MAX]);

/* "0 B", "12.3 MB": powers of 1,000. */
void size_text(uint64_t bytes, char ret_text[static SIZE_TEXT_MAX]);

/* What people call a member: its id without "spiffe://DOMAIN/fedra/node/" (or ".../fedra/"). */
const char *member_name(const char *spiffe_id);

/* A dozen aligned lines; address says where it was asked. */
void control_status_write(const struct control_status *status, const char *address, FILE *file);

/* The same on one line, for a watch that is no terminal. */
void control_status_write_line(const struct control_status *status, FILE *file);

/* One JSON object on a line; names as in control.proto, enums in lower case, absent figures null.
 * NO_MEMORY. */
[[nodiscard]] enum status control_status_write_json(const struct control_status *status,
                                                    FILE *file);

/* A table's head, then a row a member; name_width as wide as the longest name. */
void control_members_write_head(int name_width, FILE *file);
void control_member_write_row(const struct control_member *member, int name_width,
                              uint64_t now_unix_ms, FILE *file);

/* All of one member, aligned. */
void control_member_write(const struct control_member *member, uint64_t now_unix_ms, FILE *file);

/* One JSON object, without the line's end. NO_MEMORY. */
[[nodiscard]] enum status control_member_write_json(const struct control_member *member,
                                                    FILE *file);
