/* Frames and fields, as src/jail/wire.ts describes them. Pure: bytes in, bytes out, no system call. */
#include <string.h>

#include "emperor-init.h"

static void put(struct out *out, const void *bytes, size_t length) {
  if (out->full || length > out->size - out->length) {
    out->full = true;
    return;
  }
  memcpy(out->data + out->length, bytes, length);
  out->length += length;
}

static void put_head(struct out *out, uint16_t tag, uint32_t length) {
  uint16_t head[2] = {tag, 0};
  put(out, head, sizeof head);
  put(out, &length, sizeof length);
}

void out_begin(struct out *out, void *buffer, size_t size, uint16_t verb, uint32_t id) {
  *out = (struct out){.data = buffer, .size = size};
  uint32_t length = 0;
  uint16_t head[2] = {verb, 0};
  put(out, &length, sizeof length);
  put(out, head, sizeof head);
  put(out, &id, sizeof id);
}

void out_bytes(struct out *out, uint16_t tag, const void *bytes, size_t length) {
  put_head(out, tag, (uint32_t)length);
  put(out, bytes, length);
}

void out_text(struct out *out, uint16_t tag, const char *text) {
  out_bytes(out, tag, text, strlen(text));
}

void out_number(struct out *out, uint16_t tag, uint64_t number) {
  out_bytes(out, tag, &number, sizeof number);
}

static uint64_t microseconds(const struct timeval *time) {
  return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

void out_exit(struct out *out, int status, const struct rusage *usage) {
  out_number(out, TAG_STATUS, (uint64_t)(uint32_t)status);
  out_number(out, TAG_UTIME_US, microseconds(&usage->ru_utime));
  out_number(out, TAG_STIME_US, microseconds(&usage->ru_stime));
  out_number(out, TAG_MAXRSS_KB, (uint64_t)usage->ru_maxrss);
}

void out_error(struct out *out, int step, int error, const char *detail) {
  if (step >= 0) out_number(out, TAG_STEP, (uint64_t)step);
  out_number(out, TAG_ERRNO, (uint64_t)error);
  out_text(out, TAG_DETAIL, detail);
}

size_t out_open(struct out *out, uint16_t tag) {
  put_head(out, tag, 0);
  return out->length;
}

void out_close(struct out *out, size_t mark) {
  if (out->full) return;
  uint32_t length = (uint32_t)(out->length - mark);
  memcpy(out->data + mark - sizeof length, &length, sizeof length);
}

bool out_end(struct out *out) {
  if (out->full) return false;
  uint32_t length = (uint32_t)(out->length - sizeof length);
  memcpy(out->data, &length, sizeof length);
  return true;
}

ssize_t frame_parse(const uint8_t *bytes, size_t length, struct frame *frame) {
  if (length < FRAME_HEAD) return 0;
  uint32_t rest;
  memcpy(&rest, bytes, sizeof rest);
  if (rest < FRAME_HEAD - sizeof rest || rest > MAX_FRAME - sizeof rest) return -1;
  if (length < rest + sizeof rest) return 0;
  memcpy(&frame->verb, bytes + 4, sizeof frame->verb);
  memcpy(&frame->id, bytes + 8, sizeof frame->id);
  frame->fields = bytes + FRAME_HEAD;
  frame->length = rest + sizeof rest - FRAME_HEAD;
  return (ssize_t)(rest + sizeof rest);
}

bool field_next(const uint8_t **bytes, size_t *length, struct field *field) {
  if (*length < FIELD_HEAD) return false;
  memcpy(&field->tag, *bytes, sizeof field->tag);
  memcpy(&field->length, *bytes + 4, sizeof field->length);
  if (field->length > *length - FIELD_HEAD) return false;
  field->bytes = *bytes + FIELD_HEAD;
  *bytes += FIELD_HEAD + field->length;
  *length -= FIELD_HEAD + field->length;
  return true;
}

bool field_find(const uint8_t *bytes, size_t length, uint16_t tag, struct field *field) {
  while (field_next(&bytes, &length, field))
    if (field->tag == tag) return true;
  return false;
}

uint64_t field_number(const uint8_t *bytes, size_t length, uint16_t tag, uint64_t otherwise) {
  struct field field;
  uint64_t number;
  if (!field_find(bytes, length, tag, &field) || field.length != sizeof number) return otherwise;
  memcpy(&number, field.bytes, sizeof number);
  return number;
}

bool field_text(const uint8_t *bytes, size_t length, uint16_t tag, char *to, size_t size) {
  struct field field;
  if (!field_find(bytes, length, tag, &field) || field.length >= size) return false;
  if (memchr(field.bytes, 0, field.length)) return false;
  memcpy(to, field.bytes, field.length);
  to[field.length] = 0;
  return true;
}
