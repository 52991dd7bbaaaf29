/* What slots.c, spawn.c and stop.c share: the table of what init was asked to start. */
#ifndef SLOTS_H
#define SLOTS_H

#include <sys/ioctl.h>
#include <termios.h>

#include "emperor-init.h"

#define MAX_SLOTS 256
#define MAX_WORDS 4096
#define SHOWN_BYTES 1024
/* A pipe of a user who has too many holds a page. */
#define MAX_INPUT 4096

struct slot {
  bool used, ended;
  bool is_untold; /* it has ended, which nobody has been told yet */
  uint64_t id;
  char kind[16], label[64];
  pid_t pid;
  int64_t started_ms, ended_ms;
  int status;
  struct rusage usage;
  int exec_fd;              /* until exec has succeeded or failed */
  int client_fds[3], count; /* what goes with STARTED */
  struct peer *client;
  bool is_of_door; /* who asked came by the door */
  uint32_t request;
  int tty_fd;               /* the pty's master, for RESIZE */
  int notify_fd, ready_fd;  /* what it says of itself: datagrams, and a line end (notify.c) */
  bool is_ready;            /* it has said so */
  uint64_t watchdog_ms;     /* so long it may be silent; 0: for ever */
  int64_t silent_at;        /* when that is over; 0: it does not count (yet) */
  char shown[SHOWN_BYTES];  /* the words of the command, each with its NUL */
  size_t shown_length;
};

extern struct slot slots[MAX_SLOTS];
/* Slots ever used: what loops look at, so that the rest of the table costs no memory. */
extern int used_slots;

/* A START, its words copied to where they can end with NUL. */
struct request {
  char *argv[MAX_WORDS], *env[MAX_WORDS], cwd[4096];
  int stdio;
  int notify; /* NOTIFY_… */
  uint64_t watchdog_ms;
  struct field input; /* for stdin; empty: none. Points into the frame */
  size_t vars; /* how many of `env` */
  struct winsize size;
  struct termios terminal;
  bool has_terminal; /* `terminal` was given */
  bool may_start_elsewhere; /* in / where `cwd` cannot be entered */
};

/* Empties a place of the table for what `frame` asks for; its command is still to be noted. */
void slot_take(struct slot *slot, struct peer *peer, const struct frame *frame);
/* A place for a new slot: a free one, else that of the oldest that has ended; NULL if all live. */
struct slot *slot_free(void);
struct slot *slot_of(uint64_t id);
/* The slot whose living process has this pid. */
struct slot *slot_of_pid(pid_t pid);
/* Answers a START or ADOPT. */
void slot_say_started(struct slot *slot);
/* START or ADOPT of a slot that is known. */
void slot_start_again(struct slot *slot, struct peer *peer, uint32_t id);

/* notify.c: what a process says of itself. */
/* Makes what `request` asks for, and adds its name to the environment; the child's end, or -1, to `ready`. */
bool notify_open(struct slot *slot, struct request *request, int *ready);
/* The process runs: from now on it is listened to. */
void notify_begin(struct slot *slot, const struct request *request);
void notify_close(struct slot *slot);

/* adopt.c */
void adopt(struct peer *peer, const struct frame *frame);

/* Returns NULL, or what is wrong with it. A session of the door begins in any case, somewhere. */
const char *request_read(struct request *request, const struct frame *frame, bool is_of_door);
/* Forks the process of `slot`; errno tells why it could not. */
bool spawn(struct slot *slot, struct request *request);

/* What the error pipe of a start says; nothing when exec has succeeded. Small enough to be written at once. */
struct child_error {
  int error;
  char what[1000]; /* the directory or command concerned */
};

#endif
