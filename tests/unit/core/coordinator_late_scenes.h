/*
 * coordinator_late_scenes.h - what the tests of late updates begin from: nodes a and b report in
 * time, d is the slow one.
 */
#pragma once

#include "coordinator_driver.h"

/* Two of three close a round; an update may be 3 rounds late. */
struct coordinator_settings settings_of(enum late_policy late);

void boot_three(struct coordinator_settings settings);

/* As boot_three; all three report in round 1, from round 2 on two are enough. */
void boot_with_all(struct coordinator_settings settings);

/* a and b close the open round, which is committed; the next one opens. */
void close_without_d(void);

/* A good update that was made for that round. */
struct update_info update_for(const char *name, uint8_t payload, uint64_t round);

uint32_t traced(enum trace_kind kind);

void fold(void);

/* Brings round 1 to where its set is fixed, and the work for it is under way. */
struct coordinator_effect fix_the_set(enum coordinator_phase phase);

/* From where fix_the_set stopped to the commit. */
void go_on(struct coordinator_effect effect);
