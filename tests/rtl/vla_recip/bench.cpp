// Enumerate vla_recip over all mantissas, and run lists of items, beside a formula in wide integers.
//
//   bench JOB LOG
//
// JOB: u32 kind (0 enumerate, 1 list), then
//   enumerate: u32 rsqrt, u32 position of the leading one (23..62), u32 mult, u32 shift. Every mantissa of 24 bits,
//     shifted to the position. LOG: u64 items, f64 worst error of a result's multiplier, in units of its last place.
//   list: u32 rsqrt, u32 minus, u32 mult, u32 shift, u64 add, u32 items, u32 percent of cycles without an item, then
//     per item i64 value, i32 second. LOG: a record of 8 bytes per item.
// Exit code 1 and a message at the first difference from the formula (enumerate) or a record out of time (list).
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "Vvla_recip.h"
#include "verilated.h"

namespace {

constexpr int kLatency = 20;
using Wide = __int128;

[[noreturn]] void fail(const char* what, uint64_t x) {
  std::fprintf(stderr, "bench: %s, x = %llu\n", what, static_cast<unsigned long long>(x));
  std::exit(1);
}

// The tables, in integers: round(1024 / (1 + (i + 1/2) / 256)), round(1024 / sqrt((1 + (j + 1/2) / 128) * 2^odd)).
int reciprocal_entry(int i) {
  const int d = 512 + 2 * i + 1;  // in units of 1/512
  return (2 * 1024 * 512 + d) / (2 * d);
}
int rsqrt_entry(int i) {
  const int64_t c = int64_t(256 + 2 * (i & 127) + 1) << (i >> 7);  // in units of 1/256
  int n = 1;
  while (int64_t(2 * n + 1) * (2 * n + 1) * c <= int64_t(2048) * 2048 * 256) ++n;
  return n;
}

struct Record {
  uint32_t mult, shift;
};

// The formula of the instruction, on integers that cannot overflow.
Record formula(bool rsqrt, uint64_t x, uint32_t k, uint32_t t) {
  static int tables[2][256];
  if (!tables[0][0])
    for (int i = 0; i < 256; ++i) tables[0][i] = reciprocal_entry(i), tables[1][i] = rsqrt_entry(i);
  int position = 63;
  while (!(x >> position)) --position;
  const Wide m = position >= 23 ? x >> (position - 23) : x << (23 - position);
  Wide y, f, g;
  if (rsqrt) {
    const int odd = position & 1;
    y = tables[1][odd * 128 + int((m >> 16) & 127)];
    f = ((Wide(1) << 43) - ((m * y * y) << odd)) >> 17;
    g = (f >> 1) + ((3 * ((f * f) >> 26)) >> 3);
  } else {
    y = tables[0][int((m >> 15) & 255)];
    f = ((Wide(1) << 33) - m * y) >> 7;
    g = f + ((f * f) >> 26);
  }
  Wide r = ((y << 16) + ((y * g) >> 10) + 2) >> 2;
  if (r > (1 << 24) - 1) r = (1 << 24) - 1;
  const Wide p = r * k;
  const bool high = p >= (Wide(1) << 47);
  const int shift = 24 + (rsqrt ? position >> 1 : position) + int(t) - (high ? 24 : 23);
  if (shift > 63) return {0, 0};
  return {uint32_t(high ? p >> 24 : p >> 23), uint32_t(shift)};
}

struct Unit {
  VerilatedContext context;
  Vvla_recip top{&context};
  Unit() {
    top.rst_i = 1;
    for (int i = 0; i < kLatency + 2; ++i) tick();
    top.rst_i = 0;
  }
  void tick() {
    top.clk_i = 0;
    top.eval();
    top.clk_i = 1;
    top.eval();
  }
};

// Far from 0 a multiplier has 24 bits: how far it is from the exact one, in units of its last place.
double error_of(const Record& got, bool rsqrt, uint64_t x, uint32_t k, uint32_t t) {
  const long double exact = rsqrt ? k / std::sqrt(static_cast<long double>(x)) : k / static_cast<long double>(x);
  return std::fabs(static_cast<double>(std::ldexp(exact, int(got.shift) - int(t)) - got.mult));
}

int enumerate(Unit& unit, const uint32_t* job, FILE* log) {
  const bool rsqrt = job[0];
  const uint32_t position = job[1];
  auto& top = unit.top;
  top.rsqrt_i = rsqrt;
  top.mult_i = job[2];
  top.shift_i = job[3];
  top.add_i = 0;
  top.minus_i = 0;
  double worst = 0;
  uint64_t items = 0;
  for (uint64_t n = 0; n < (1u << 23) + kLatency; ++n) {
    const uint64_t m = (1u << 23) + (n < (1u << 23) ? n : 0);
    top.valid_i = n < (1u << 23);
    top.value_i = m << (position - 23);
    unit.tick();
    if (n + 1 < kLatency) continue;
    if (n + 1 - kLatency >= (1u << 23)) break;
    const uint64_t x = ((1u << 23) + (n + 1 - kLatency)) << (position - 23);
    const Record want = formula(rsqrt, x, job[2], job[3]);
    const Record got{uint32_t(top.record_o >> 32) & 0xFFFFFF, uint32_t(top.record_o >> 56)};
    if (!top.valid_o || got.mult != want.mult || got.shift != want.shift || uint32_t(top.record_o)) fail("record differs", x);
    if (got.mult) worst = std::fmax(worst, error_of(got, rsqrt, x, job[2], job[3]));
    ++items;
  }
  return std::fwrite(&items, 8, 1, log) == 1 && std::fwrite(&worst, 8, 1, log) == 1 ? 0 : 2;
}

int list(Unit& unit, FILE* job, FILE* log) {
  uint32_t head[4], count[2];
  uint64_t add;
  if (std::fread(head, 4, 4, job) != 4 || std::fread(&add, 8, 1, job) != 1 || std::fread(count, 4, 2, job) != 2) return 2;
  auto& top = unit.top;
  top.rsqrt_i = head[0];
  top.minus_i = head[1];
  top.mult_i = head[2];
  top.shift_i = head[3];
  top.add_i = add;
  std::deque<bool> sent(kLatency - 1, false);
  uint32_t random = 12345;
  for (uint32_t in = 0, out = 0; out < count[0];) {
    random = random * 1664525u + 1013904223u;
    top.valid_i = in < count[0] && (random >> 8) % 100 >= count[1];
    if (top.valid_i) {
      int64_t value;
      int32_t second;
      if (std::fread(&value, 8, 1, job) != 1 || std::fread(&second, 4, 1, job) != 1) return 2;
      top.value_i = uint64_t(value);
      top.second_i = uint32_t(second);
      ++in;
    }
    sent.push_back(top.valid_i);
    unit.tick();
    if (top.valid_o != sent.front()) fail("valid_o out of time", out);
    sent.pop_front();
    if (!top.valid_o) continue;
    const uint64_t record = top.record_o;
    if (std::fwrite(&record, 8, 1, log) != 1) return 2;
    ++out;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  FILE* job = std::fopen(argv[1], "rb");
  FILE* log = std::fopen(argv[2], "wb");
  uint32_t kind, head[4];
  if (!job || !log || std::fread(&kind, 4, 1, job) != 1) return 2;
  Unit unit;
  int code = 2;
  if (kind == 1) code = list(unit, job, log);
  else if (std::fread(head, 4, 4, job) == 4) code = enumerate(unit, head, log);
  std::fclose(job);
  return std::fclose(log) ? 2 : code;
}
