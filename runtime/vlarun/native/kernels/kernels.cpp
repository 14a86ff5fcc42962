// What packets compute, for `sim`: integer products, requantization and moves, for N inputs at once.
//
// Every function gives the bytes that vla_isa.numerics gives; tests hold them against it. The structures are those of
// binding.py. Not here: which packets there are and what may be prepared once (steps.py).

#include "conv.h"
#include "copy.h"
#include "gather.h"
#include "gemm.h"
#include "pool.h"
#include "reduce.h"
#include "row.h"
#include "tensor.h"
#include "vec.h"

extern "C" {

// The most groups of a tile.
int64_t vla_groups() { return kGroups; }

// Real numbers to int8, vla_isa.numerics.quantize rounding to nearest even, and back.
void vla_quantize(const float* x, int64_t count, float scale, float zero, int8_t* q) {
  for (int64_t i = 0; i < count; ++i) q[i] = int8_t(std::min(std::max(__builtin_rintf(x[i] / scale) + zero, -128.0f), 127.0f));
}
void vla_dequantize(const int8_t* q, int64_t count, float scale, float zero, float* x) {
  for (int64_t i = 0; i < count; ++i) x[i] = (float(q[i]) - zero) * scale;
}

void vla_pack(const Tensor* t, const int8_t* from, int8_t* rows, int fill) { pack(t, from, rows, fill); }
void vla_unpack(const Tensor* t, const int8_t* rows, int8_t* to) { unpack(t, rows, to); }

// Accumulators [rows][16] to bytes, for tests.
void vla_finish(const Finish* f, int64_t rows, const int32_t* acc, const int8_t* residual, int8_t* out) {
  for (int64_t i = 0; i < rows; ++i) {
    Int a;
    std::memcpy(&a, acc + i * kLanes, sizeof a);
    const Byte q = finished(a, *f, 0, residual + i * kLanes);
    std::memcpy(out + i * kLanes, &q, kLanes);
  }
}

struct Step {
  int64_t kind;
  const void* what;
};

void vla_run(const Step* steps, int64_t count, const Memory* m) {
  for (int64_t i = 0; i < count; ++i) switch (steps[i].kind) {
      case 0: run_conv(*(const Conv*)steps[i].what, *m); break;
      case 1: run_copy(*(const Copy*)steps[i].what, *m); break;
      case 2: run_vec(*(const Vec*)steps[i].what, *m); break;
      case 3: run_pool(*(const Pool*)steps[i].what, *m); break;
      case 4: run_gemm(*(const Gemm*)steps[i].what, *m); break;
      case 5: run_row(*(const Row*)steps[i].what, *m); break;
      case 6: run_reduce(*(const Reduce*)steps[i].what, *m); break;
      case 7: run_recip(*(const Recip*)steps[i].what, *m); break;
      case 8: run_gather(*(const Gather*)steps[i].what, *m); break;
    }
}

}  // extern "C"
