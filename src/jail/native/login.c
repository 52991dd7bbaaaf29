/*
 * login: the login shell of a customer's account on the host. Brings whoever sshd let in through the door of the
 * one vassal that sshd_config names, and does nothing else:
 *
 *   emperor-login -c 'door SOCKET'      sshd's call for `ForceCommand door SOCKET`
 *
 * What the customer asked for is in SSH_ORIGINAL_COMMAND; it goes to the shell inside, a login shell if there is
 * none. Without ForceCommand nobody gets anywhere, so a lost line of sshd_config is no way into the host. The door
 * asks the kernel who we are: to name another's is of no use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "emperor-init.h"

#define STATUS_OURS 125
#define DOOR_WORD "door "

/* sshd names its own sftp-server, whose place inside may be another. */
static char sftp_server[] =
    "for at in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec; do "
    "[ -x $at/sftp-server ] && exec $at/sftp-server; done; command -v sftp-server >/dev/null && exec sftp-server; "
    "echo 'emperor: There is no sftp-server in this system; ask for openssh-sftp-server, or use scp -O' >&2; exit 127";

/* Of what sshd knows, that which helps inside; paths and names of the host do not. */
static const char *const passed[] = {"TERM=", "COLORTERM=", "SSH_CLIENT=", "SSH_CONNECTION="};

extern char **environ;

__attribute__((noreturn)) static void refuse(const char *why) {
  dprintf(2, "emperor: Cannot log in: %s\n", why);
  _exit(STATUS_OURS);
}

static const char *door_of(int argc, char **argv) {
  bool is_forced = argc == 3 && strcmp(argv[1], "-c") == 0 && strncmp(argv[2], DOOR_WORD, strlen(DOOR_WORD)) == 0;
  if (!is_forced) refuse("sshd_config has no `ForceCommand door SOCKET` for this account");
  return argv[2] + strlen(DOOR_WORD);
}

/* `internal-sftp`, or the path of a sftp-server; either may have options, which are the host's business. */
static bool is_sftp(const char *command) {
  size_t length = strcspn(command, " ");
  const char *const names[] = {"internal-sftp", "/sftp-server"};
  if (length == strlen(names[0]) && strncmp(command, names[0], length) == 0) return true;
  size_t tail = strlen(names[1]);
  return *command == '/' && length >= tail && strncmp(command + length - tail, names[1], tail) == 0;
}

static bool is_passed(const char *pair) {
  for (size_t i = 0; i < COUNT_OF(passed); i++)
    if (strncmp(pair, passed[i], strlen(passed[i])) == 0) return true;
  return false;
}

int login_main(int argc, char **argv) {
  char *env[COUNT_OF(passed)], *command[2] = {getenv("SSH_ORIGINAL_COMMAND"), NULL};
  streams_reserve();
  struct attachment attachment = {.socket = door_of(argc, argv), .is_door = true, .env = env, .command = command};
  if (getuid() == 0) refuse("root stays on the host; use `emperor shell`");
  for (char **pair = environ; *pair && attachment.env_count < (int)COUNT_OF(passed); pair++)
    if (is_passed(*pair)) env[attachment.env_count++] = *pair;
  if (command[0] && is_sftp(command[0])) command[0] = sftp_server;
  attachment.has_tty = isatty(0);
  attach_run(&attachment);
}
