/* Our own terminal while a command inside has one: raw, so that every key is the command's. */
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "attach.h"

static struct termios before;
static int terminal_fd = -1; /* standard input may be closed before we end */

void terminal_raw(void) {
  if (tcgetattr(0, &before) < 0) return;
  struct termios raw = before;
  cfmakeraw(&raw);
  if (tcsetattr(0, TCSANOW, &raw) == 0) terminal_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
}

void terminal_restore(void) {
  if (terminal_fd >= 0) tcsetattr(terminal_fd, TCSADRAIN, &before);
}

/* Of whichever of our descriptors is a terminal; 80 by 24 where none is. */
struct winsize terminal_size(void) {
  struct winsize size = {.ws_row = 24, .ws_col = 80};
  for (int fd = 0; fd < 3; fd++)
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) return size;
  return (struct winsize){.ws_row = 24, .ws_col = 80};
}
