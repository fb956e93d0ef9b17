/*
 * ca_command.c - `fedra ca`: makes a local authority, issues identities, shows certificates.
 *
 * Keys are made here and certified at once by the authority's folder on this machine. Not here:
 * printing certificates (ca_show.c), what is certified and how (identity/authority.h).
 */
#include "cli/ca_command.h"

#include "base/text.h"
#include "cli/ca_serve.h"
#include "cli/ca_show.h"
#include "cli/options.h"
#include "identity/authority_identity.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TTL_DEFAULT_S = 3600 };

enum status ca_duration_parse(const char *text, uint32_t *ret_duration_s, struct error *err)
{
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= UINT32_MAX; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    for (size_t i = 0; at != text && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(at, units[i].unit) != 0)
            continue;
        if (number > UINT32_MAX / units[i].seconds)
            break;
        *ret_duration_s = (uint32_t)number * units[i].seconds;
        return STATUS_OK;
    }
    char shown[32];
    text_escape(text, strlen(text), shown, sizeof shown);
    return error_set(err, STATUS_INVAL,
                     "\"%s\" is no duration; right are 30s, 15m, 24h, 7d or seconds, at most %lu s",
                     shown, (unsigned long)UINT32_MAX);
}

/* Says what is wrong with the use of an action, or what failed. The exit code. */
static int wrong_usage(const char *action, const struct error *err)
{
    fprintf(stderr, "fedra ca %s: %s; `fedra ca %s --help` tells more\n", action, err->text,
            action);
    return EXIT_USAGE;
}

static int finish(const char *action, enum status status, const struct error *err)
{
    if (status == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "fedra ca %s: standard output cannot be written\n", action);
        return EXIT_FAILURE;
    }
    if (status == STATUS_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "fedra ca %s: %s\n", action, err->text);
    return EXIT_FAILURE;
}

static int run_init(int argc, char **argv)
{
    const char *dir = nullptr;
    const char *trust_domain = "fedra.local";
    const struct option_spec specs[] = {
        {"dir", 'd', "DIR", "the authority's folder, new or empty", .text = &dir},
        {"trust-domain", 0, "NAME", "what its identities are of (default fedra.local)",
         .text = &trust_domain},
    };
    const struct option_table table = {
        .usage = "ca init --dir DIR [--trust-domain NAME]",
        .help = "Makes a local authority: two root keys (P-256 for TLS, ML-DSA-65 for envelopes) "
                "and their certificates. Who can read the folder can make every identity of the "
                "trust domain.",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
    };
    struct error err = {0};
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    if (dir == nullptr)
        error_set(&err, STATUS_INVAL, "--dir DIR is missing");
    if (dir == nullptr || spiffe_trust_domain_check(trust_domain, &err) != STATUS_OK)
        return wrong_usage("init", &err);
    const enum status status = authority_init(dir, trust_domain, (int64_t)time(nullptr), &err);
    if (status == STATUS_OK)
        printf("%s: the authority of trust domain %s; %s/bundle.pem is what others trust\n", dir,
               trust_domain, dir);
    return finish("init", status, &err);
}

/* What `ca issue` was asked for. */
struct issue {
    const char *dir;
    const char *out;
    const char *id;
    const char *role;
    const char *name;
    const char *ttl;
    const char *tls_key;
    uint32_t ttl_s;
    enum spiffe_role role_value;
    enum identity_key_kind tls_kind;
};

/* INVAL where the options do not make sense together or by themselves. */
static enum status check_issue(struct issue *issue, struct error *err)
{
    if (issue->dir == nullptr)
        return error_set(err, STATUS_INVAL, "--dir DIR is missing, the authority's folder");
    if (issue->out == nullptr)
        return error_set(err, STATUS_INVAL, "--out DIR is missing, the folder of the identity");
    if ((issue->id == nullptr) == (issue->role == nullptr))
        return error_set(err, STATUS_INVAL, "either --id or --role is wanted");
    if (issue->id != nullptr && issue->name != nullptr)
        return error_set(err, STATUS_INVAL, "--name goes with --role, not with --id");
    struct spiffe_id id;
    enum status status = STATUS_OK;
    if (issue->id != nullptr)
        status = spiffe_id_parse(issue->id, strlen(issue->id), &id, err);
    else
        status = spiffe_role_find(issue->role, &issue->role_value, err);
    if (status != STATUS_OK)
        return error_prefix(err, STATUS_INVAL, issue->id != nullptr ? "--id" : "--role");
    status = ca_duration_parse(issue->ttl, &issue->ttl_s, err);
    if (status == STATUS_OK &&
        (issue->ttl_s < AUTHORITY_TTL_MIN_S || issue->ttl_s > AUTHORITY_TTL_MAX_S))
        status = error_set(err, STATUS_INVAL,
                           "%lu s is no life of a certificate; right are 1s to "
                           "366d",
                           (unsigned long)issue->ttl_s);
    if (status != STATUS_OK)
        return error_prefix(err, status, "--ttl");
    if (strcmp(issue->tls_key, "p256") == 0)
        issue->tls_kind = IDENTITY_KEY_P256;
    else if (strcmp(issue->tls_key, "ml-dsa-65") == 0)
        issue->tls_kind = IDENTITY_KEY_ML_DSA_65;
    else
        return error_set(err, STATUS_INVAL, "--tls-key: right are p256 and ml-dsa-65");
    return STATUS_OK;
}

static int issue_as_asked(const struct issue *issue)
{
    struct error err = {0};
    struct authority *authority = nullptr;
    struct spiffe_id id;
    enum status status = authority_open(issue->dir, &authority, &err);
    if (status == STATUS_OK && issue->id != nullptr)
        status = spiffe_id_parse(issue->id, strlen(issue->id), &id, &err);
    else if (status == STATUS_OK)
        status = spiffe_id_make(authority_trust_domain(authority), issue->role_value, issue->name,
                                &id, &err);
    if (status == STATUS_OK)
        status = authority_make_identity(authority, id.text, issue->tls_kind, issue->ttl_s,
                                         issue->out, (int64_t)time(nullptr), &err);
    authority_close(authority);
    if (status == STATUS_OK)
        printf("%s: the identity %s, for %lu s\n", issue->out, id.text,
               (unsigned long)issue->ttl_s);
    return finish("issue", status, &err);
}

static int run_issue(int argc, char **argv)
{
    struct issue issue = {.ttl = "1h", .tls_key = "p256", .ttl_s = TTL_DEFAULT_S};
    const struct option_spec specs[] = {
        {"dir", 'd', "DIR", "the authority's folder", .text = &issue.dir},
        {"out", 'o', "DIR", "the folder of the identity; replaced as a whole", .text = &issue.out},
        {"id", 'i', "SPIFFE-ID", "who it is: spiffe://TRUST-DOMAIN/PATH", .text = &issue.id},
        {"role", 'r', "ROLE", "or: coordinator, edge, node, operator, authority",
         .text = &issue.role},
        {"name", 'n', "NAME", "of the node or operator, or the zone of the edge",
         .text = &issue.name},
        {"ttl", 't', "DURATION", "how long it is valid: 30s, 15m, 1h (default), 7d",
         .text = &issue.ttl},
        {"tls-key", 0, "KIND", "p256 (default, taken by every gRPC) or ml-dsa-65",
         .text = &issue.tls_key},
    };
    const struct option_table table = {
        .usage = "ca issue --dir DIR (--id SPIFFE-ID | --role ROLE [--name NAME]) --out DIR",
        .help = "Makes new keys, has the authority certify them and puts them with its roots into "
                "a folder: svid.pem and svid.key (TLS), envelope.pem and envelope.key (signatures "
                "of updates), bundle.pem.",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
    };
    struct error err = {0};
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    if (check_issue(&issue, &err) != STATUS_OK)
        return wrong_usage("issue", &err);
    return issue_as_asked(&issue);
}

static int run_show(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "ca show DIR|FILE.pem",
        .help = "Prints what certificates say: those of the folder of an authority or of an "
                "identity, or those in a file.",
        .operands_min = 1,
        .operands_max = 1,
    };
    struct error err = {0};
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    return finish("show", ca_show(argv[1], (int64_t)time(nullptr), stdout, &err), &err);
}

static const struct command actions[] = {
    {"init", "make a local authority", run_init, nullptr},
    {"issue", "make an identity and certify it", run_issue, nullptr},
    {"show", "DIR|FILE.pem: print what certificates say", run_show, nullptr},
    {"serve", "run the authority as a process", ca_serve, nullptr},
};

const struct command_table ca_actions = {"fedra ca", "action", actions,
                                         sizeof actions / sizeof actions[0]};

int ca_command(int argc, char **argv)
{
    return command_run(&ca_actions, argc, argv);
}
