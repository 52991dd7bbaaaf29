/*
 * emperor-init: the launcher, PID 1 of each vassal, the streaming client of `emperor exec`, the login shell of
 * customers and what enlarges their homes in one program.
 */
#include <string.h>
#include <unistd.h>

#include "emperor-init.h"

#ifdef __SANITIZE_ADDRESS__
/* Told from init's own ends; what it reports of leaks at _exit() would be noise. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "exitcode=99:detect_leaks=0"; }
#endif

/* sshd calls a login shell by its name alone, with `-` before it where it is to be a login. */
static bool is_login_shell(const char *path) {
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  return strcmp(*name == '-' ? name + 1 : name, "emperor-login") == 0;
}

int main(int argc, char **argv) {
  if (argc > 0 && is_login_shell(argv[0])) return login_main(argc, argv);
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "launcher") == 0) return launcher_main(argc - 2, argv + 2);
  if (strcmp(mode, "init") == 0) return init_main(argc > 2);
  if (strcmp(mode, "attach") == 0) return attach_main(argc - 1, argv + 1);
  if (strcmp(mode, "login") == 0) return login_main(argc - 1, argv + 1);
  if (strcmp(mode, "grow") == 0) return grow_main(argc - 2, argv + 2);
  static const char usage[] = "usage: emperor-init launcher|init|attach|login|grow …\n";
  return write(2, usage, sizeof usage - 1) < 0 ? 1 : 2;
}
