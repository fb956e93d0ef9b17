/*
 * run_record.h - RUN/run.json: what a run is that the configurations do not say. Its presence says
 * that the folder is whole.
 */
#pragma once

#include "host/run_setup.h"

struct run_record {
    struct run_shape shape;
    bool port_picked; /* server.listen asked for any free port */
};

/* Makes run.json, durable. IO, NO_SPACE, NO_MEMORY. */
[[nodiscard]] enum status run_record_write(const char *folder, const struct run_record *record,
                                           struct error *err);

/* Reads it. NOT_FOUND where folder is none of a whole run, CORRUPT, IO; the text names the folder.
 */
[[nodiscard]] enum status run_record_read(const char *folder, struct run_record *ret_record,
                                          struct error *err);
