/* The smallest idle process: waits for ever. */
#include <unistd.h>

int main(void) {
  for (;;) pause();
}
