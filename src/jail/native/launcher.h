/* What launcher.c, launcher-children.c, launcher-kept.c and mounts.c share. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include "emperor-init.h"

enum kind { KIND_LISTEN, KIND_SIGNAL, KIND_CLIENT, KIND_REPORT, KIND_MOUNTS };

/* launcher.c: clients are known by their index. */
void launcher_watch(int fd, enum kind kind, uint32_t index, uint32_t events);
/* Stops watching and closes; the descriptor becomes -1. */
void launcher_close(int *fd);
/*
 * Zeroed memory for life; NULL if there is none. A child does not get it: else each clone would copy page tables,
 * and the launcher the pages that it writes.
 */
void *launcher_map(size_t size);
/* Begins an answer; one is put together at a time. */
void launcher_begin(struct out *out, uint16_t verb, uint32_t id);
void launcher_say(int client, struct out *out, const int *fds, int count);
void launcher_say_ok(int client, uint32_t id);
void launcher_say_error(int client, uint32_t id, int step, int error, const char *detail);
/* Sends an event to every subscriber. */
void launcher_tell(struct out *out);
/* The descriptor that came with the frame of `client`; -1 if there is none. */
int launcher_take_fd(int client);

/* launcher-children.c */
bool children_open(void);
void children_launch(int client, const struct frame *frame);
void children_list(int client, const struct frame *frame);
void children_acknowledge(int client, const struct frame *frame);
void children_reap(void);
void children_report_ready(uint32_t index);
/* Nobody is answered any more who has gone. */
void children_client_gone(int client);

/* mounts.c: the launcher's own, small mount namespace. */
int mounts_open(char **keep, int count);
void mounts_prune(void);

/* launcher-kept.c */
void kept_serve(int client, const struct frame *frame);

#endif
