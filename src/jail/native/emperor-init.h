/*
 * Shared declarations of the launcher, init, attach and login: one static program, four modes. No policy, no
 * configuration: what happens inside a vassal is decided by the jail plan that the emperor sends.
 */
#ifndef EMPEROR_INIT_H
#define EMPEROR_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "wire.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ── wire.c: frames ─────────────────────────────────────────────────────────────────────────── */

#define FRAME_HEAD 12 /* length, verb, reserved, id */
#define FIELD_HEAD 8  /* tag, reserved, length */
#define FRAME_FDS 4

/* Bytes that are being put together; `full` once something did not fit. */
struct out {
  uint8_t *data;
  size_t size, length;
  bool full;
};

/* A frame that has arrived; points into the connection's buffer. */
struct frame {
  uint16_t verb;
  uint32_t id;
  const uint8_t *fields;
  size_t length;
};

struct field {
  uint16_t tag;
  const uint8_t *bytes;
  uint32_t length;
};

void out_begin(struct out *out, void *buffer, size_t size, uint16_t verb, uint32_t id);
void out_bytes(struct out *out, uint16_t tag, const void *bytes, size_t length);
void out_text(struct out *out, uint16_t tag, const char *text);
void out_number(struct out *out, uint16_t tag, uint64_t number);
/* The fields that tell how a process has ended. */
void out_exit(struct out *out, int status, const struct rusage *usage);
/* The fields of an error; a `step` of -1 is none. */
void out_error(struct out *out, int step, int error, const char *detail);
/* Opens a nested field; close it with what this returns. */
size_t out_open(struct out *out, uint16_t tag);
void out_close(struct out *out, size_t mark);
/* Writes the frame's length; false if it did not fit. */
bool out_end(struct out *out);

/* Reads the frame at the start of `bytes`: its size, 0 if more bytes are needed, -1 if it is none. */
ssize_t frame_parse(const uint8_t *bytes, size_t length, struct frame *frame);
/* Takes the next field off [*bytes, *length); false at the end or where the rest makes no sense. */
bool field_next(const uint8_t **bytes, size_t *length, struct field *field);
bool field_find(const uint8_t *bytes, size_t length, uint16_t tag, struct field *field);
uint64_t field_number(const uint8_t *bytes, size_t length, uint16_t tag, uint64_t otherwise);
/* Copies a text field; false if it is missing, too long or holds a NUL. */
bool field_text(const uint8_t *bytes, size_t length, uint16_t tag, char *to, size_t size);

/* ── peer.c: connections ────────────────────────────────────────────────────────────────────── */

struct span {
  uint8_t *bytes;
  size_t size;
};

/* One connection. Buffers belong to the owner and are touched only while in use. */
struct peer {
  int fd; /* -1: free */
  bool subscribed, has_greeted;
  bool is_door; /* came by the door (door.c) */
  uint8_t *in;
  size_t in_size, in_at, in_length; /* what is there and not consumed: from in_at to in_length */
  uint8_t *out; /* what the socket would not take yet */
  size_t out_size, out_length;
  int received_fds[FRAME_FDS]; /* what came with SCM_RIGHTS and nobody took yet */
  int received_count;
  uint32_t watched; /* what epoll was asked to tell; 0: nothing yet */
};

/* Makes `peer` an open connection over these buffers, or a free place (`fd` -1). */
void peer_open(struct peer *peer, int fd, struct span in, struct span out);
/* Closes it and what it received. */
void peer_close(struct peer *peer);

/* Reads what is there and hands each whole frame to `serve`, which may close the peer. False: it is to be dropped. */
bool peer_serve(struct peer *peer, void (*serve)(struct peer *, const struct frame *));
/* Sends a finished frame with descriptors; keeps what does not fit. False: the peer is to be dropped. */
bool peer_send(struct peer *peer, const struct out *out, const int *fds, int fd_count);
bool peer_flush(struct peer *peer);
/* Has epoll tell, as `what`, of input and, while something is kept, of room for it. */
void peer_watch(struct peer *peer, int epoll_fd, uint64_t what);
/* Hands over the first descriptor that came with the frame that is served; -1 if there is none. */
int peer_take_fd(struct peer *peer);
int listen_at(const char *path);
int connect_to(const char *path);

/* ── sys.c: system calls musl has no wrapper for, and small things ──────────────────────────── */

int sys_pivot_root(const char *new_root, const char *put_old);
int sys_open_tree(int fd, const char *path, unsigned flags);
/* Returns the same directory (O_PATH) as the root of a mount of its own, so that `..` ends there. */
int sys_confined(int directory);
int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int sys_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear);
int sys_openat2(int fd, const char *path, uint64_t flags, uint64_t resolve);
/* `cgroup_fd`: a directory of cgroup v2 that the child is born in, or -1. */
pid_t sys_clone3(uint64_t flags, int cgroup_fd);
void sys_close_from(unsigned first);
uint64_t start_time_of(pid_t pid);
void boot_id(char text[40]);
int64_t wall_ms(void);
int64_t monotonic_ms(void);
/* The moment `ms` from now, at most a day. */
int64_t deadline_ms(uint64_t ms);
bool write_file(const char *path, const char *text);
bool write_all(int fd, const uint8_t *bytes, size_t length);
/* Has epoll tell `what` when `fd` has `events`, or others than before. */
bool watch_fd(int epoll_fd, int fd, uint64_t what, uint32_t events);
/* By hand, since a child between fork and exec keeps what we close watched; the descriptor becomes -1. */
void unwatch_and_close(int epoll_fd, int *fd);

/* ── modes ──────────────────────────────────────────────────────────────────────────────────── */

int launcher_main(int argc, char **argv);
int init_main(bool is_placed);
int attach_main(int argc, char **argv);
int login_main(int argc, char **argv);
int grow_main(int argc, char **argv);

/* The descriptors that the launcher leaves to an init. */
#define INIT_PLAN_FD 3
#define INIT_REPORT_FD 4
/* Where the host's tree is mounted below the base, which is the working directory that the launcher leaves (mounts.c). */
#define BASE_HOST "host"

/* ── init: shared state (init.c) ────────────────────────────────────────────────────────────── */

#define MAX_RLIMITS 16
#define PATH_BYTES 4096
#define MAX_FILTER_BYTES 32768
#define LINE_BYTES 8192
#define ADDRESS_TEXT 56 /* an IPv6 address with its prefix */

struct init {
  char name[128], hash[80], boot_id[40];
  uint64_t generation, start_time;
  int64_t started_ms; /* wall clock */
  int state; /* STATE_… */
  uid_t uid;
  bool is_pid1;
  bool is_placed; /* was born in its own cgroup */
  int base_fd; /* the mount below the host's tree, before the pivot */
  int root_fd; /* the new root's mount, before the pivot */
  int lock_fd, listen_fd, epoll_fd, signal_fd;
  int door_fd; /* -1: nobody comes in by ssh */
  int tun_fd; /* -1: the vassal has no network */
  char tun_name[16]; /* IFNAMSIZ */
  char address[ADDRESS_TEXT], address6[ADDRESS_TEXT]; /* what ADDRESS has read back; empty: none */
  struct { int resource; struct rlimit limit; } rlimits[MAX_RLIMITS];
  int rlimit_count;
  uint8_t filter[MAX_FILTER_BYTES];
  size_t filter_length;
};

extern struct init self;

/*
 * What a failing step leaves behind, laid out as the report to the launcher: step is -1 outside of any; an error
 * of 0 reports the gate.
 */
struct failure {
  int step, error;
  char detail[512];
};
extern struct failure failure;
/* Notes why a step failed; returns false so that a step can `return fail(…)`. */
bool fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct step {
  uint64_t op;
  const uint8_t *fields;
  size_t length;
};
bool step_run(const struct step *step);
/* A path or text of a step; notes the failure if it is missing or too long. */
bool step_text(const struct step *step, uint16_t tag, char text[PATH_BYTES]);
/* A number of a step; 0 if it is missing. */
uint64_t step_number(const struct step *step, uint16_t tag);
bool step_mount(const struct step *step); /* steps-mount.c */
bool step_image(const struct step *step); /* home-image.c */
bool step_hook(const struct step *step);  /* steps-hook.c */
bool step_sweep(void);
bool step_tun(const struct step *step); /* steps-net.c */
bool step_address(const struct step *step);
/* Answers FETCH with the tun. */
void tun_fetch(struct peer *peer, const struct frame *frame);
/* Writes a setting below /proc/sys; false, and errno, where it cannot. */
bool sysctl_write(const char *name, const char *text);

/* gate.c: serves init.sock until somebody says GO; answers that peer when the rest is done. */
bool step_gate(uint64_t limit_ms);
void gate_serve(struct peer *peer, const struct frame *frame);
void gate_peer_gone(const struct peer *peer);
void gate_passed(void);
void gate_failed(void);

/* logger.c: lines to files. */
/* Leaves of the host's file system no more than the directory itself within reach; as payload_confine(). */
bool log_confine(void);
bool log_open(int directory_fd, uint64_t max_bytes, int files, uid_t uid, gid_t gid);
struct log_source {
  const char *stream; /* " stdout", " stderr" or " system" */
  char label[64];
};
/* Around the lines of one moment: they get one time and are written together. */
void log_begin(void);
void log_line(const struct log_source *source, bool is_whole, const void *text, size_t length);
void log_end(void);

/* log-pipes.c: what processes write, cut into lines. */
bool log_has_room(int pipes);
/* Takes over `fd`; closes it if there are too many pipes. */
void log_pipe_open(int fd, const char *label, bool is_stderr);
/* Reads at most one portion and writes its lines; closes the pipe at its end. */
void log_pipe_ready(uint32_t index);
/* Reads everything that is there now. */
void log_pipes_drain(void);
/* NOTE: lines of the emperor's. */
void log_note(struct peer *peer, const struct frame *frame);

/* payload.c: all processes of the vassal but init. */
bool payload_confine(void);
/* Before the drop: what payload_fork() needs to give children a worse score where memory runs out. */
void payload_keep_score(void);
bool payload_open(const char *join, uid_t uid, gid_t gid);
/* fork(2) into the payload where the kernel can do that; payload_join() does the rest in the child. */
pid_t payload_fork(void);
/* In the child: joins the payload's cgroups. */
bool payload_join(void);
/* In the child: closes everything above 2 but `fd`, `other` (-1: none) and what payload_join() needs. */
void payload_keep_only(int fd, int other);
void payload_signal(int signo);
/* Signals every process of a session (setsid(2)). */
void payload_signal_session(pid_t session, int signo);
void payload_kill(void);

/* child.c: what everything that init starts goes through between fork and exec. */
void child_reset_signals(void);
bool child_limit(void);
bool child_filter(void);

/* slots.c: the processes that init was asked to start. */
struct slot;
void slots_reap(void);
void slots_serve(struct peer *peer, const struct frame *frame);
/* The error pipe of a start: closed by a successful exec, or it says what failed. */
void slots_exec_ready(uint32_t index);
void slots_peer_gone(const struct peer *peer);
/* Sends a signal to its process group. */
void slot_signal(const struct slot *slot, int signo);
/* RESIZE and SIGNAL of whatever `peer` itself has started. */
void slots_serve_own(struct peer *peer, const struct frame *frame);
/* What this peer has started and has not ended; how many such there are of all doors. */
bool slots_has_own(const struct peer *peer);
int slots_of_doors(void);

/* door.c: where logins by ssh come in. */
void door_set(struct peer *peer, const struct frame *frame);
/* Says whether who is at the other end of `fd` may come in. */
bool door_admits(int fd);
void door_serve(struct peer *peer, const struct frame *frame);

/* hangup.c: processes whose terminal, or whoever watched them, has gone. */
void hangup_begin(pid_t session);
/* Kills those whose time is up; milliseconds until the next one's is, -1 if there is none. */
int hangup_patience(void);

/* notify.c: what processes say of themselves. */
void notify_ready(uint32_t index);
/* Milliseconds until the next one has been silent for too long; -1 if none is listened for. Tells those who have. */
int notify_patience(void);

/* crontab.c: the customer's crontab. */
void crontab_read(struct peer *peer, const struct frame *frame);
/* There are events of the home. */
void crontab_ready(void);

/* stop.c: the end of a vassal. */
void stop_begin(uint64_t grace_ms, int signo);
bool stop_is_under_way(void);
/* Milliseconds until a stop that is under way runs out of patience; -1 if none is. */
int stop_patience(void);
/* Ends init if a stop is under way and nobody is left. */
void stop_check(void);

/* loop.c: one epoll loop. */
enum watch_kind { WATCH_LISTEN, WATCH_SIGNAL, WATCH_PEER, WATCH_PIPE, WATCH_EXEC, WATCH_DOOR, WATCH_NOTIFY, WATCH_CRONTAB };
bool loop_open(void);
void loop_watch(int fd, enum watch_kind kind, uint32_t index, uint32_t events);
/* Stops watching and closes; the descriptor becomes -1. */
void loop_close(int *fd);
/* Waits up to `timeout_ms` and does what there is to do. */
void loop_turn(int timeout_ms);
int loop_run(void);
/* Ends a frame and sends it; a peer that does not take it is dropped. */
void loop_say(struct peer *peer, struct out *out, const int *fds, int count);
/* Sends an event to all who subscribed, and to `also`. */
void loop_tell(const uint8_t *frame, size_t length, const struct peer *also);
void loop_say_ok(struct peer *peer, uint32_t id);
void loop_say_error(struct peer *peer, uint32_t id, int step, int error, const char *detail);
void loop_drop(struct peer *peer);
/* Drops all who came by the door. */
void loop_drop_doors(void);
/* Scratch space for one outgoing frame. */
extern uint8_t loop_scratch[MAX_FRAME];

#endif
