/*
 * control_members.h - answers about members: a page of them, and one by its name.
 */
#pragma once

#include "admin/control_service.h"

/*
 * Writes a page: members after the token, as many as were asked for (and fit a message), then where
 * the next page begins. LIMIT and NO_MEMORY from out.
 */
[[nodiscard]] enum status control_members_page(const struct control_ops *ops, void *context,
                                               const struct control_request *request,
                                               struct bytes *out);

/*
 * Writes the member of that name: a whole SPIFFE id, or what an id ends with after a slash.
 * NOT_FOUND with the nearest name; EXISTS where several are meant.
 */
[[nodiscard]] enum status control_members_get(const struct control_ops *ops, void *context,
                                              const char *name, struct bytes *out,
                                              struct error *err);
