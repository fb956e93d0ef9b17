/*
 * members_command.c - `fedra members`: all members page by page, or one by its name.
 */
#include "cli/members_command.h"

#include "cli/control_target.h"
#include "cli/control_text.h"
#include "host/clock.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_WIDTH_MIN = 8, NAME_WIDTH_MAX = 40 };

static const char who[] = "fedra members";

/* A list that is written as it comes. */
struct listing {
    bool json;
    uint64_t count;
    int name_width; /* of the first page's longest name */
};

static int width_of(struct slice page)
{
    char token[CONTROL_NAME_MAX] = "";
    struct control_member member;
    size_t width = NAME_WIDTH_MIN;
    while (control_page_take(&page, &member, token, nullptr) == STATUS_OK) {
        const size_t size = strlen(member_name(member.spiffe_id));
        width = size > width ? size : width;
    }
    return width < NAME_WIDTH_MAX ? (int)width : NAME_WIDTH_MAX;
}

/* Writes a page; gives the token of the next one. */
static enum status write_page(struct listing *listing, struct slice page,
                              char ret_token[static CONTROL_NAME_MAX], struct error *err)
{
    struct control_member member;
    enum status status = STATUS_OK;
    if (listing->count == 0 && !listing->json) {
        listing->name_width = width_of(page);
        control_members_write_head(listing->name_width, stdout);
    }
    ret_token[0] = 0;
    while ((status = control_page_take(&page, &member, ret_token, err)) == STATUS_OK) {
        if (!listing->json) {
            control_member_write_row(&member, listing->name_width, clock_unix_ms(), stdout);
        } else {
            if (listing->count > 0)
                fputc(',', stdout);
            status = control_member_write_json(&member, stdout);
            if (status != STATUS_OK)
                return status;
        }
        listing->count++;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status list_all(struct control_client *client, const struct control_target *target,
                            struct error *err)
{
    struct listing listing = {.json = target->json};
    struct control_request request = {.page_size = CONTROL_PAGE_MEMBERS_MAX};
    struct bytes page;
    enum status status = STATUS_OK;
    memcpy(request.job, target->job, sizeof(target->job));
    bytes_init(&page, CONTROL_PAGE_BYTES_MAX);
    if (target->json)
        fputs("{\"members\":[", stdout);
    do {
        page.size = 0;
        status =
            control_client_ask(client, "ListMembers", CONTROL_LIST_MEMBERS, &request, &page, err);
        if (status == STATUS_OK)
            status = write_page(&listing, bytes_slice(&page), request.page_token, err);
    } while (status == STATUS_OK && request.page_token[0] != 0);
    if (target->json && status == STATUS_OK)
        fputs("]}\n", stdout);
    bytes_deinit(&page);
    return status;
}

static enum status show_one(struct control_client *client, const struct control_target *target,
                            const char *name, struct error *err)
{
    struct control_request request = {.job = ""};
    struct control_member member;
    struct bytes answer;
    memcpy(request.job, target->job, sizeof(target->job));
    if (name[0] == 0 || strlen(name) >= sizeof(request.name))
        return error_set(err, STATUS_NOT_FOUND, "a member's name has 1 to %d characters",
                         CONTROL_NAME_MAX - 1);
    memcpy(request.name, name, strlen(name) + 1);
    bytes_init(&answer, CONTROL_MEMBER_BYTES_MAX);
    enum status status =
        control_client_ask(client, "GetMember", CONTROL_GET_MEMBER, &request, &answer, err);
    if (status == STATUS_OK)
        status = control_member_decode(bytes_slice(&answer), &member, err);
    if (status == STATUS_OK && !target->json) {
        control_member_write(&member, clock_unix_ms(), stdout);
    } else if (status == STATUS_OK) {
        status = control_member_write_json(&member, stdout);
        fputc('\n', stdout);
    }
    bytes_deinit(&answer);
    return status;
}

int members_command(int argc, char **argv)
{
    struct control_target target;
    struct option_spec specs[CONTROL_TARGET_OPTIONS];
    control_target_options(&target, specs);
    const struct option_table table = {
        .usage = "members [NAME] " CONTROL_TARGET_USAGE " [--json]",
        .help = "Lists who takes part in a running job, or shows one member; NAME is its SPIFFE id "
                "or the end of it. Counts are since the coordinator's process started; ROUND is "
                "the last one that counted it, CERTIFICATE how long its key is still valid.\n"
                "\n" CONTROL_TARGET_HELP
                ", 6 no such member, 7 another job runs there or NAME means several.",
        .specs = specs,
        .spec_count = CONTROL_TARGET_OPTIONS,
        .operands_max = 1,
    };
    uint32_t operands = 0;
    int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code < 0)
        code = control_target_resolve(&target, who);
    if (code >= 0)
        return code;
    const struct control_client_options options = control_target_client(&target);
    struct control_client *client = nullptr;
    struct error err = {0};
    enum status status = control_client_create(&options, &client);
    if (status == STATUS_OK)
        status = operands == 0 ? list_all(client, &target, &err)
                               : show_one(client, &target, argv[1], &err);
    control_client_destroy(client);
    if (status != STATUS_OK)
        return control_target_fail(&target, who, status, &err);
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
