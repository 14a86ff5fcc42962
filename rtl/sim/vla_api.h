// The C interface of the simulated machine, loaded as a shared library.
// Does: give a host a machine that runs one program at a time on memories the host owns.
// Does not: read program files or know tensors.
#pragma once

#include <cstdint>

extern "C" {

struct vla_options {
  uint32_t start_packet;   // entry point, a packet number
  uint32_t latency;        // cycles from a read address to its first beat, and from a last write beat to its answer
  uint32_t outstanding;    // bursts that a master may have in flight, 1..64
  uint32_t stall_percent;  // how often a ready or valid of the memory is withheld, 0..90
  uint64_t stall_seed;
  uint64_t max_cycles;     // the run is given up after so many cycles; 0: never
};

struct vla_result {
  uint32_t done;       // the machine raised its interrupt
  uint32_t status;     // error code, 0 is fine
  uint32_t halt_code;
  uint32_t timed_out;  // max_cycles went by
  uint64_t error_addr;
  uint64_t counters[32];
};

void* vla_create(void);
void vla_destroy(void* handle);

// Reset the machine, zero its memories, run and wait. `data` is read and written in place, `weights` are plain
// weight words. Returns 0; 1 if the machine broke the AXI protocol or an assertion; 2 for bad options.
int vla_run(void* handle, uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes,
            const vla_options* options, vla_result* result);

// What vla_run found when it did not return 0; empty otherwise. Lives until the next run.
const char* vla_message(void* handle);

// Copy an on-chip memory after a run, in address order. Returns 0, or 1 if `bytes` is not its size or nothing ran.
int vla_peek_act(void* handle, uint8_t* out, uint64_t bytes);
int vla_peek_weight(void* handle, uint8_t* out, uint64_t bytes);
int vla_peek_param(void* handle, uint8_t* out, uint64_t bytes);
}
