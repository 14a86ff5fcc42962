/* A machine of 'tiny' that knows only HALT, as other people's libraries may be: -D chooses what is wrong with it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vla_api.h"

#ifndef VERSION
#define VERSION VLA_API_VERSION
#endif
#ifndef BLOCK
#define BLOCK 8
#endif
#ifndef STATUS
#define STATUS 0
#endif

#ifdef AT_LOAD
__attribute__((constructor)) static void at_load(void) { AT_LOAD; }
#endif

uint32_t vla_api_version(void) { return VERSION; }

void vla_describe(struct vla_machine* machine) {
  const struct vla_machine tiny = {4, BLOCK, 16384, 2048, 1024, 0};
  *machine = tiny;
#ifdef SHOWS
  machine->shows_memories = 1;
#endif
}

#ifdef SHOWS
int vla_peek_act(void* handle, uint8_t* out, uint64_t bytes) { return handle && out && bytes ? SHOWS : 1; }
int vla_peek_weight(void* handle, uint8_t* out, uint64_t bytes) { return vla_peek_act(handle, out, bytes); }
int vla_peek_param(void* handle, uint8_t* out, uint64_t bytes) { return vla_peek_act(handle, out, bytes); }
#endif

void* vla_create(void) {
#ifdef NO_MACHINE
  return NULL;
#else
  return malloc(1);
#endif
}

void vla_destroy(void* handle) { free(handle); }

#ifndef NO_MESSAGE
const char* vla_message(void* handle) { return handle ? "\xff is no text" : ""; }
#endif

int vla_run(void* handle, uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
            const struct vla_options* options, struct vla_result* result) {
  const uint8_t* packet = data + 64 * (uint64_t)options->start_packet;
  (void)handle, (void)data_bytes, (void)weights, (void)weight_bytes;
  memset(result, 0, sizeof *result);
#ifdef RUN
  RUN;
#endif
  memcpy(&result->halt_code, packet + 5, 4);
  result->status = STATUS;
  result->done = 1;
  return 0;
}
