/*
 * version_command.c - the versions a bug report needs.
 *
 * Libraries are asked at run time: what is linked may differ from what was compiled against.
 */
#include "cli/version_command.h"

#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>

#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <uv.h>
#include <yaml.h>

/* The widest vector instructions of this processor. */
static const char *vector_instructions(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? "avx512"
           : __builtin_cpu_supports("avx2")  ? "avx2"
                                             : "none";
#else
    return "not x86-64";
#endif
}

int version_command(int argc, char **argv)
{
    const struct option_table table = {
        .usage = "version",
        .help = "Prints the version, the build, the libraries linked at run time and the CPU.",
    };
    uint32_t operands = 0;
    const int code = options_parse_or_exit_code(&table, argc, argv, &operands);
    if (code >= 0)
        return code;
    printf("fedra %s\n", FEDRA_VERSION);
    printf("build: %s, %s\n", FEDRA_BUILD, __VERSION__);
    printf("openssl: %s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
    printf("libuv: %s\n", uv_version_string());
    printf("nghttp2: %s\n", nghttp2_version(0)->version_str);
    printf("sqlite: %s\n", sqlite3_libversion());
    printf("libyaml: %s\n", yaml_get_version_string());
    printf("cpu: %s\n", vector_instructions());
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
