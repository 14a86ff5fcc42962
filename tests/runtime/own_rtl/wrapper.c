/* Our Verilated machine (INNER, a path) behind the same interface, written in C against the header alone.
   -DHIDE: it does not show its memories. -DFLIP: one bit of every result is wrong. -DFLIP_ACT: one bit that it shows of
   the activation scratchpad is. -DCRASH: entry point 7 crashes it. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "vla_api.h"

typedef int run_function(void*, uint8_t*, uint64_t, const uint8_t*, uint64_t, const struct vla_options*,
                         struct vla_result*);
typedef int peek_function(void*, uint8_t*, uint64_t);

static void find(const char* name, void* function) {
  void* found = dlsym(dlopen(INNER, RTLD_NOW | RTLD_LOCAL), name);
  if (!found) abort();
  memcpy(function, &found, sizeof found);
}

uint32_t vla_api_version(void) { return VLA_API_VERSION; }

void vla_describe(struct vla_machine* machine) {
  void (*inner)(struct vla_machine*);
  find("vla_describe", &inner);
  inner(machine);
#ifdef HIDE
  machine->shows_memories = 0;
#endif
}

void* vla_create(void) {
  void* (*inner)(void);
  find("vla_create", &inner);
  return inner();
}

void vla_destroy(void* handle) {
  void (*inner)(void*);
  find("vla_destroy", &inner);
  inner(handle);
}

int vla_run(void* handle, uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
            const struct vla_options* options, struct vla_result* result) {
  run_function* inner;
  int code;
  find("vla_run", &inner);
#ifdef CRASH
  if (options->start_packet == 7) abort();
#endif
  code = inner(handle, data, data_bytes, weights, weight_bytes, options, result);
#ifdef FLIP
  data[data_bytes - 64] ^= 1; /* the first byte of the last line, which the program wrote last */
#endif
  return code;
}

const char* vla_message(void* handle) {
  const char* (*inner)(void*);
  find("vla_message", &inner);
  return inner(handle);
}

#ifndef HIDE
static int peek(const char* name, void* handle, uint8_t* out, uint64_t bytes) {
  peek_function* inner;
  int code;
  find(name, &inner);
  code = inner(handle, out, bytes);
#ifdef FLIP_ACT
  if (strcmp(name, "vla_peek_act") == 0) out[0] ^= 1;
#endif
  return code;
}
int vla_peek_act(void* handle, uint8_t* out, uint64_t bytes) { return peek("vla_peek_act", handle, out, bytes); }
int vla_peek_weight(void* handle, uint8_t* out, uint64_t bytes) { return peek("vla_peek_weight", handle, out, bytes); }
int vla_peek_param(void* handle, uint8_t* out, uint64_t bytes) { return peek("vla_peek_param", handle, out, bytes); }
#endif
