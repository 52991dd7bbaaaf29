/*
 * attach: the streaming client of `emperor exec` and `emperor shell`, and of logins by ssh (login.c).
 *
 *   emperor-init attach SOCKET CWD [--label LABEL] [--kind KIND] [--tty] [--env K=V]… -- COMMAND [ARGUMENT]…
 *
 * Theory of operation. One START over init's socket, answered by the other ends of the command's pipes (or its
 * pty's master). From then on bytes flow straight between them and our own stdin, stdout and stderr; the
 * connection stays for signals, window sizes and the exit. Its end hangs the command up, so our death does too.
 *
 * The end. When the command has exited we write what it had written by then, however slowly it is read, and
 * leave at the end of both streams. What it left running may hold them open for ever: after QUIET_MS without a
 * byte, or LINGER_MS at most, we go.
 *
 * Exit status: the command's own; 128 + n if signal n ended it; 126 if it cannot be executed, 127 if it is not
 * there, 125 for anything that is not the command's doing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "attach.h"
#include "emperor-init.h"

#define STATUS_OURS 125
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127
#define START_ID 1
#define LATER_ID 2
#define QUIET_MS 200
#define LINGER_MS 1000

#define SHELL_NAME "the login shell"

static const char usage[] =
    "attach SOCKET CWD [--label LABEL] [--kind KIND] [--tty] [--env K=V]… -- COMMAND [ARGUMENT]…";
static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static struct attachment options;
static const char *name; /* of what runs, for messages */
static struct peer peer = {.fd = -1};
static uint8_t peer_in[MAX_FRAME], peer_out[MAX_FRAME], scratch[MAX_FRAME];
static struct stream input, output, errors;
static uint64_t slot;
static int signal_fd = -1;
static bool is_started, has_exited;
static int exit_status = STATUS_OURS;
static int64_t exited_ms;

__attribute__((noreturn, format(printf, 2, 3))) static void leave(int status, const char *format, ...) {
  va_list arguments;
  terminal_restore();
  if (format) {
    va_start(arguments, format);
    dprintf(2, "emperor: ");
    vdprintf(2, format, arguments);
    dprintf(2, "\n");
    va_end(arguments);
  }
  _exit(status);
}

/* ── asking ─────────────────────────────────────────────────────────────────────────────────── */

static void send_frame(struct out *out) {
  /* A peer that does not take it has ended, which the next read tells. */
  if (out_end(out)) peer_send(&peer, out, NULL, 0);
}

/* What a door does not let its callers say. */
static void put_place(struct out *out) {
  if (getrandom(&slot, sizeof slot, 0) != sizeof slot)
    leave(STATUS_OURS, "Cannot get a random number: %s", strerror(errno));
  out_number(out, TAG_SLOT, slot);
  out_text(out, TAG_KIND, options.kind);
  out_text(out, TAG_LABEL, options.label);
  out_text(out, TAG_CWD, options.cwd);
}

static void ask_start(void) {
  struct out out;
  struct winsize size = terminal_size();
  struct termios terminal;
  out_begin(&out, scratch, sizeof scratch, VERB_START, START_ID);
  if (!options.is_door) put_place(&out);
  out_number(&out, TAG_STDIO, options.has_tty ? STDIO_TTY : STDIO_PIPES);
  out_number(&out, TAG_ROWS, size.ws_row);
  out_number(&out, TAG_COLUMNS, size.ws_col);
  if (options.has_tty && tcgetattr(0, &terminal) == 0) out_bytes(&out, TAG_TERMINAL, &terminal, sizeof terminal);
  for (char **word = options.command; *word; word++) out_text(&out, TAG_ARG, *word);
  for (int i = 0; i < options.env_count; i++) out_text(&out, TAG_ENV, options.env[i]);
  if (!out_end(&out))
    leave(STATUS_NOT_EXECUTABLE, "Cannot run %s: arguments and environment are longer than %d bytes",
          name, MAX_FRAME);
  /* Who hung up is told by reading, at a door with a better word. */
  if (!peer_send(&peer, &out, NULL, 0) && errno != EPIPE) leave(STATUS_OURS, "Cannot ask the vassal: %s", strerror(errno));
}

static void ask_signal(int signo) {
  struct out out;
  out_begin(&out, scratch, sizeof scratch, VERB_SIGNAL, LATER_ID);
  out_number(&out, TAG_SLOT, slot);
  out_number(&out, TAG_SIGNAL, (uint64_t)signo);
  send_frame(&out);
}

static void ask_size(void) {
  struct winsize size = terminal_size();
  struct out out;
  out_begin(&out, scratch, sizeof scratch, VERB_RESIZE, LATER_ID);
  out_number(&out, TAG_SLOT, slot);
  out_number(&out, TAG_ROWS, size.ws_row);
  out_number(&out, TAG_COLUMNS, size.ws_col);
  send_frame(&out);
}

/* ── being answered ─────────────────────────────────────────────────────────────────────────── */

static void started(const struct frame *frame) {
  int fds[3] = {peer_take_fd(&peer), peer_take_fd(&peer), peer_take_fd(&peer)};
  is_started = true;
  /* A door chooses it. */
  slot = field_number(frame->fields, frame->length, TAG_SLOT, slot);
  if (options.has_tty) fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
  if (fds[0] < 0 || fds[1] < 0 || (!options.has_tty && fds[2] < 0))
    leave(STATUS_OURS, "Cannot reach the command: its descriptors did not come");
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  stream_open(&input, 0, fds[0], "the command");
  stream_open(&output, fds[1], 1, "standard output");
  if (!options.has_tty) stream_open(&errors, fds[2], 2, "standard error");
  else terminal_raw();
}

/* Without a terminal, that a caller by ssh has gone is told by nobody reading any more. */
static bool is_deserted(void) {
  return options.is_door && is_started && !has_exited && output.is_broken && (options.has_tty || errors.is_broken);
}

/* Which status an errno of exec means; -1 for what init could not do and is no word about the command. */
static int status_of(int error) {
  switch (error) {
    case ENOENT: return STATUS_NOT_FOUND;
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ESHUTDOWN: return STATUS_OURS;
    default: return STATUS_NOT_EXECUTABLE;
  }
}

/* init cuts long words off. */
static bool is_about(const char *detail, const char *word) {
  return strncmp(detail, word, strlen(detail)) == 0 && (detail[0] || !word[0]);
}

__attribute__((noreturn)) static void refused(const struct frame *frame) {
  char detail[2048] = "";
  int error = (int)field_number(frame->fields, frame->length, TAG_ERRNO, 0);
  field_text(frame->fields, frame->length, TAG_DETAIL, detail, sizeof detail);
  const char *reason = strerror(error);
  if (!options.is_door && is_about(detail, name)) leave(status_of(error), "Cannot run %s: %s", name, reason);
  if (!options.is_door && is_about(detail, options.cwd)) leave(STATUS_NOT_EXECUTABLE, "Cannot enter the directory %s: %s", detail, reason);
  leave(STATUS_OURS, "Cannot run %s: %s (%s)", name, detail, reason);
}

/* What it wrote before is still to be read. */
static void command_ended(void) {
  has_exited = true;
  exited_ms = monotonic_ms();
  stream_end(&input);
  stream_settle(&output);
  stream_settle(&errors);
}

static void exited(const struct frame *frame) {
  if (field_number(frame->fields, frame->length, TAG_SLOT, 0) != slot || !is_started) return;
  int status = (int)field_number(frame->fields, frame->length, TAG_STATUS, 0);
  exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  command_ended();
}

static void take_frame(struct peer *from, const struct frame *frame) {
  (void)from;
  if (frame->id == START_ID && frame->verb == VERB_STARTED) started(frame);
  else if (frame->id == START_ID && frame->verb == VERB_ERROR) refused(frame);
  else if (frame->verb == VERB_EXITED) exited(frame);
}

static void socket_ready(short events) {
  if (!peer_flush(&peer)) peer.out_length = 0; /* it has ended, which reading tells */
  if (!(events & (POLLIN | POLLHUP | POLLERR))) return;
  if (peer_serve(&peer, take_frame)) return;
  peer_close(&peer);
  if (has_exited) return;
  /* The command went with its vassal; what it said before is still in the pipes. */
  if (!is_started && options.is_door)
    leave(STATUS_OURS, "Cannot log in: this door is another account's, or too many are logged in");
  if (!is_started) leave(STATUS_OURS, "Cannot run %s: the vassal has ended", name);
  if (options.is_door) dprintf(2, "emperor: This system has closed the session\n");
  else dprintf(2, "emperor: The vassal has ended while %s ran\n", name);
  command_ended();
}

static void signal_ready(void) {
  struct signalfd_siginfo info;
  while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
    int signo = (int)info.ssi_signo;
    /* Our terminal has gone, or the connection behind it: so has whoever typed. */
    bool is_hung_up = signo == SIGHUP && (options.has_tty || options.is_door);
    if (signo == SIGWINCH) {
      if (is_started && options.has_tty) ask_size();
    } else if (!is_started || has_exited || is_hung_up) {
      /* The end of the connection hangs the command up. */
      leave(128 + signo, NULL);
    } else {
      ask_signal(signo);
    }
  }
}

/* The end of our input: a pipe is closed, a terminal is sent what the Control and D keys send. */
static void end_input(void) {
  static const char end[] = {4, 4};
  bool is_inside_line = input.last != 0 && input.last != '\n' && input.last != '\r';
  /* Where it cannot be taken the command reads nothing anyway. */
  ssize_t ignored = options.has_tty ? write(input.to, end, is_inside_line ? 2 : 1) : 0;
  (void)ignored;
  stream_end(&input);
}

/* ── the loop ───────────────────────────────────────────────────────────────────────────────── */

static bool is_done(const struct stream *stream, int64_t now) {
  if (stream->from < 0) return true;
  return stream->owed == 0 && (now - stream->read_ms >= QUIET_MS || now - exited_ms >= LINGER_MS);
}

/* How long to wait: for ever while the command runs or its output is not taken, else a part of QUIET_MS. */
static int patience(void) {
  return has_exited && output.owed + errors.owed == 0 ? QUIET_MS / 4 : -1;
}

static void turn(void) {
  struct pollfd polls[8] = {{.fd = peer.fd, .events = (short)(POLLIN | (peer.out_length ? POLLOUT : 0))},
                            {.fd = signal_fd, .events = POLLIN}};
  struct stream *const streams[] = {&input, &output, &errors};
  for (size_t i = 0; i < COUNT_OF(streams); i++) stream_poll(streams[i], polls + 2 + 2 * i);
  if (poll(polls, COUNT_OF(polls), patience()) < 0) return;
  if (polls[1].revents) signal_ready();
  for (size_t i = 0; i < COUNT_OF(streams); i++) {
    if (stream_ready(streams[i], polls + 2 + 2 * i)) continue;
    if (i == 0) end_input();
    else stream_end(streams[i]);
  }
  /* Last: an exit ends the input and settles what is still to be written. */
  if (polls[0].revents) socket_ready(polls[0].revents);
}

/* ── start ──────────────────────────────────────────────────────────────────────────────────── */

/* A signal that we were started to ignore, as by nohup, stays ignored. */
static void open_signals(void) {
  sigset_t set;
  struct sigaction action;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  for (size_t i = 0; i < COUNT_OF(forwarded); i++)
    if (sigaction(forwarded[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, forwarded[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The values of --env are gathered at the start of the options, where they have been read already. */
static bool read_options(int argc, char **argv, struct attachment *to) {
  if (argc < 3) return false;
  *to = (struct attachment){.socket = argv[1], .cwd = argv[2], .kind = "exec", .env = argv + 3};
  int at = 3;
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (strcmp(argv[at], "--tty") == 0) {
      to->has_tty = true;
      continue;
    }
    if (at + 1 == argc) return false;
    if (strcmp(argv[at], "--label") == 0) to->label = argv[at + 1];
    else if (strcmp(argv[at], "--kind") == 0) to->kind = argv[at + 1];
    else if (strcmp(argv[at], "--env") == 0) to->env[to->env_count++] = argv[at + 1];
    else return false;
    at++;
  }
  to->command = argv + at + 1;
  if (!to->label) to->label = to->kind;
  return at + 1 < argc;
}

static void reach(void) {
  int fd = connect_to(options.socket);
  if (fd < 0 && options.is_door) leave(STATUS_OURS, "Cannot log in: this system is not running (%s)", strerror(errno));
  if (fd < 0) leave(STATUS_OURS, "Cannot reach the vassal at %s: %s; is it running?", options.socket, strerror(errno));
  peer_open(&peer, fd, (struct span){peer_in, sizeof peer_in}, (struct span){peer_out, sizeof peer_out});
}

int attach_run(const struct attachment *attachment) {
  options = *attachment;
  name = options.command[0] ? options.command[0] : SHELL_NAME;
  input.from = input.to = output.from = output.to = errors.from = errors.to = -1;
  open_signals();
  reach();
  ask_start();
  for (;;) {
    turn();
    int64_t now = monotonic_ms();
    if (has_exited && is_done(&output, now) && is_done(&errors, now)) leave(exit_status, NULL);
    if (is_deserted()) leave(128 + SIGHUP, NULL);
  }
}

int attach_main(int argc, char **argv) {
  struct attachment attachment;
  streams_reserve();
  if (!read_options(argc, argv, &attachment)) leave(STATUS_OURS, "usage: emperor-init %s", usage);
  return attach_run(&attachment);
}
