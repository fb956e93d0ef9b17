/*
 * trainer.c - finds a trainer by its name, and names nodes by a key.
 *
 * Not here: the trainers themselves (trainer_builtin.c, trainer_external.c,
 * trainer_fixed.c).
 */
#include "train/trainer.h"

#include "base/bytes.h"
#include "base/digest.h"

#include <string.h>

const struct trainer_ops *trainer_find(const char *name)
{
    static const struct trainer_ops *const trainers[] = {&trainer_builtin, &trainer_external,
                                                         &trainer_fixed};
    for (size_t i = 0; i < sizeof(trainers) / sizeof(*trainers); i++) {
        if (strcmp(trainers[i]->name, name) == 0)
            return trainers[i];
    }
    return nullptr;
}

uint64_t trainer_node_key(const char *name)
{
    struct digest digest;
    digest_of(name, strlen(name), &digest);
    return load_u64le(digest.bytes);
}
