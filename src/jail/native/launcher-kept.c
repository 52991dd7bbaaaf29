/* The descriptors that the launcher keeps by name, so that they outlive who opened them: PUT, GET, DROP. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "launcher.h"

#define MAX_KEPT 64

struct kept {
  char name[128]; /* empty: free */
  int fd;
};

static struct kept kept[MAX_KEPT];

static struct kept *kept_named(const char *name) {
  for (int i = 0; i < MAX_KEPT; i++)
    if (kept[i].name[0] && strcmp(kept[i].name, name) == 0) return &kept[i];
  return NULL;
}

static void put_descriptor(int index, uint32_t id, const char *name) {
  struct kept *place = kept_named(name);
  for (int i = 0; !place && i < MAX_KEPT; i++)
    if (!kept[i].name[0]) place = &kept[i];
  int fd = place ? launcher_take_fd(index) : -1;
  if (fd < 0) {
    launcher_say_error(index, id, -1, place ? EBADF : ENOSPC, name);
    return;
  }
  if (place->name[0]) close(place->fd);
  place->fd = fd;
  strcpy(place->name, name);
  launcher_say_ok(index, id);
}

void kept_serve(int index, const struct frame *frame) {
  char name[128];
  if (!field_text(frame->fields, frame->length, TAG_NAME, name, sizeof name) || !name[0]) {
    launcher_say_error(index, frame->id, -1, EINVAL, "a descriptor without a name");
    return;
  }
  if (frame->verb == VERB_PUT) {
    put_descriptor(index, frame->id, name);
    return;
  }
  struct kept *found = kept_named(name);
  if (!found) {
    launcher_say_error(index, frame->id, -1, ENOENT, name);
  } else if (frame->verb == VERB_GET) {
    struct out out;
    launcher_begin(&out, VERB_OK, frame->id);
    launcher_say(index, &out, &found->fd, 1);
  } else {
    close(found->fd);
    *found = (struct kept){0};
    launcher_say_ok(index, frame->id);
  }
}

