// The C interface of a machine on a host, loaded as a shared library (docs/howto/own_rtl.md).
// Does: give a host a machine that runs one program at a time on memories the host owns.
// Does not: read program files or know tensors.
// Plain C99. VLA_API_VERSION is raised whenever a function, a struct or a meaning here changes.
#ifndef VLA_API_H
#define VLA_API_H

#include <stdint.h>

#define VLA_API_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

// Which machine it is: what must equal the hardware config that programs are compiled for.
struct vla_machine {
  uint32_t pixels;          // the array is pixels x block x block
  uint32_t block;           // B, channels of a channel block
  uint32_t act_words;       // activation scratchpad, words of B bytes
  uint32_t weight_words;    // weight scratchpad, words of B*B bytes
  uint32_t param_words;     // parameter memory, words of 8*B bytes
  uint32_t shows_memories;  // 1: vla_peek_* give the on-chip memories; 0: they may be missing
};

// The reference memory and the watchdog. A library with a memory of its own may ignore latency, outstanding and stalls.
struct vla_options {
  uint32_t start_packet;   // entry point, a packet number
  uint32_t latency;        // cycles from a read address to its first beat, and from a last write beat to its answer
  uint32_t outstanding;    // bursts that a master may have in flight, 1..64
  uint32_t stall_percent;  // how often a ready or valid of the memory is withheld, 0..90
  uint64_t stall_seed;
  uint64_t max_cycles;     // the run is given up after so many cycles; 0: never
};

struct vla_result {
  uint32_t done;          // the machine raised its interrupt
  uint32_t status;        // error code, 0 is fine
  uint32_t halt_code;
  uint32_t timed_out;     // max_cycles went by
  uint64_t error_addr;    // data-space byte address of the packet that caused the error
  uint64_t counters[32];  // in the order of the counter registers; 0 where the machine does not count
};

// VLA_API_VERSION of the header the library was compiled with; called before anything else.
uint32_t vla_api_version(void);

// Fills in all of `machine`.
void vla_describe(struct vla_machine* machine);

// A machine, or a null pointer where none can be made.
void* vla_create(void);
void vla_destroy(void* handle);

// Reset the machine, zero its memories, run and wait. `data` is the data space, read and written in place; `weights`
// are plain weight words, word w at byte w*B*B. Where they lie in the memory of a machine is its own affair; this
// one copies them to the channels of docs/reference/registers.md and `data` back (hbm.h). Fills in all of `result`.
// Returns 0; 1 if the machine broke the AXI protocol or an assertion; 2 for bad options.
int vla_run(void* handle, uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
            const struct vla_options* options, struct vla_result* result);

// What vla_run found when it did not return 0; empty otherwise. Lives until the next run.
const char* vla_message(void* handle);

// Copy an on-chip memory after a run, in address order. Returns 0, or 1 if `bytes` is not its size or nothing ran.
int vla_peek_act(void* handle, uint8_t* out, uint64_t bytes);
int vla_peek_weight(void* handle, uint8_t* out, uint64_t bytes);
int vla_peek_param(void* handle, uint8_t* out, uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
