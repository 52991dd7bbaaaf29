/* Says when its first instruction ran: nanoseconds of CLOCK_REALTIME to stdout and to $STAMP, then waits. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  char text[64];
  int length = snprintf(text, sizeof text, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
  const char *path = getenv("STAMP");
  int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : 1;
  if (write(fd, text, (size_t)length) != length) return 1;
  for (;;) pause();
}
